#include "poller.h"

#include <cerrno>

namespace xenctrl {
namespace {

Poller *Of(void *handle) { return static_cast<Poller *>(static_cast<uv_handle_t *>(handle)->data); }

}  // namespace

int Poller::Start(Poller *poller, napi_env env, int fd, napi_value listener, Poller **owner) {
  uv_loop_t *loop = nullptr;
  poller->env_ = env;
  poller->owner_ = owner;
  poller->poll_.data = poller;
  if (napi_get_uv_event_loop(env, &loop) != napi_ok || !poller->Prepare(listener)) {
    poller->Forget();
    delete poller;
    return -ENOMEM;
  }
  int rc = uv_poll_init(loop, &poller->poll_, fd);  // libuv's error numbers are -errno
  if (rc != 0) {
    poller->Forget();
    napi_remove_async_cleanup_hook(poller->hook_);
    delete poller;
    return rc;
  }
  *owner = poller;
  rc = poller->Select(UV_READABLE);
  if (rc != 0) poller->Close();
  return rc;
}

int Poller::Select(int events) {
  if (events == 0) return uv_poll_stop(&poll_);
  return uv_poll_start(&poll_, events, [](uv_poll_t *poll, int, int) { Of(poll)->Call(); });
}

/// All that the environment has to give; when it ends, it waits until the event loop has let go.
bool Poller::Prepare(napi_value listener) {
  napi_value name = nullptr;
  const auto end = [](napi_async_cleanup_hook_handle, void *data) { static_cast<Poller *>(data)->Close(); };
  return napi_create_reference(env_, listener, 1, &listener_) == napi_ok &&
         napi_create_string_latin1(env_, "xenctrl.events", NAPI_AUTO_LENGTH, &name) == napi_ok &&
         napi_async_init(env_, nullptr, name, &context_) == napi_ok &&
         napi_add_async_cleanup_hook(env_, end, this, &hook_) == napi_ok;
}

void Poller::Forget() {
  if (listener_) napi_delete_reference(env_, listener_);
  if (context_) napi_async_destroy(env_, context_);
  listener_ = nullptr;
  context_ = nullptr;
}

void Poller::Close() {
  if (!owner_) return;
  *owner_ = nullptr;
  owner_ = nullptr;
  Forget();
  uv_close(reinterpret_cast<uv_handle_t *>(&poll_), [](uv_handle_t *handle) {
    Poller *const poller = Of(handle);
    napi_remove_async_cleanup_hook(poller->hook_);
    delete poller;
  });
}

void Poller::Call() {
  napi_env env = env_;  // the listener may close this poller
  napi_handle_scope scope = nullptr;
  if (napi_open_handle_scope(env, &scope) != napi_ok) return;
  napi_value listener = nullptr;
  if (napi_get_reference_value(env, listener_, &listener) == napi_ok) Ready(listener);
  napi_close_handle_scope(env, scope);
}

napi_value Poller::Tell(napi_value listener, napi_value argument) {
  napi_env env = env_;
  napi_value global = nullptr;
  napi_value result = nullptr;
  if (napi_get_global(env, &global) != napi_ok) return nullptr;
  if (napi_make_callback(env, context_, global, listener, argument ? 1 : 0, &argument, &result) == napi_ok)
    return result;
  bool thrown = false;
  napi_value error = nullptr;
  if (napi_is_exception_pending(env, &thrown) == napi_ok && thrown &&
      napi_get_and_clear_last_exception(env, &error) == napi_ok) {
    napi_fatal_exception(env, error);  // as from any callback: 'uncaughtException'
  }
  return nullptr;
}

}  // namespace xenctrl
