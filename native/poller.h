// A listener that Node's event loop calls while a file can be read.
#pragma once

#include <node_api.h>
#include <uv.h>

namespace xenctrl {

/// Lives on the environment's thread. Once closed it frees itself, as soon as the event loop lets go of it.
class Poller {
 public:
  /// Makes one and puts it at `owner`, where it takes itself away when it closes: by Close(), which the owner calls
  /// before it closes the file or goes itself, or because the environment ends. 0, or -errno.
  static int Start(napi_env env, int fd, napi_value listener, Poller **owner) {
    return Start(new Poller, env, fd, listener, owner);
  }
  /// The same with one made already, which is its own from now on.
  static int Start(Poller *poller, napi_env env, int fd, napi_value listener, Poller **owner);

  Poller() = default;
  Poller(const Poller &) = delete;
  Poller &operator=(const Poller &) = delete;

  /// What it is called for from now on: UV_READABLE (as at first), UV_WRITABLE, both or neither. 0, or -errno.
  int Select(int events);

  /// Ends the calls; the file may be closed at once.
  void Close();

 protected:
  virtual ~Poller() = default;

  /// The file can be read, or has an error: that is for the listener to find.
  virtual void Ready(napi_value listener) { Tell(listener, nullptr); }

  /// Calls the listener, with an argument unless that is null. What it throws is an uncaught exception, and gives null.
  napi_value Tell(napi_value listener, napi_value argument);

  napi_env env() const { return env_; }
  bool closed() const { return owner_ == nullptr; }

 private:
  bool Prepare(napi_value listener);
  void Forget();
  void Call();

  napi_env env_ = nullptr;
  Poller **owner_ = nullptr;  // null: it is closing
  uv_poll_t poll_{};
  napi_ref listener_ = nullptr;
  napi_async_context context_ = nullptr;
  napi_async_cleanup_hook_handle hook_ = nullptr;
};

}  // namespace xenctrl
