#include "async.h"

#include <memory>
#include <utility>

namespace xenctrl {
namespace {

/// Made and ended on the environment's thread, like all owners of a device; only Execute() runs elsewhere.
class HypercallWork {
 public:
  HypercallWork(Ref<Privcmd> device, const Slot &slot) : device_(std::move(device)), slot_(slot) {}

  /// Null when the environment is ending.
  static napi_value Queue(napi_env env, std::unique_ptr<HypercallWork> work) {
    napi_value promise = nullptr;
    napi_value name = nullptr;
    if (napi_create_string_latin1(env, "xenctrl.hypercall", NAPI_AUTO_LENGTH, &name) != napi_ok ||
        napi_create_promise(env, &work->deferred_, &promise) != napi_ok ||
        napi_create_async_work(env, nullptr, name, Execute, Complete, work.get(), &work->work_) != napi_ok) {
      return nullptr;
    }
    if (napi_queue_async_work(env, work->work_) != napi_ok) {
      napi_delete_async_work(env, work->work_);
      return nullptr;
    }
    (void)work.release();  // Complete() has it now
    return promise;
  }

 private:
  static void Execute(napi_env /*env*/, void *data) {
    auto *const work = static_cast<HypercallWork *>(data);
    work->slot_.result = work->device_->Issue(&work->slot_);
  }

  static void Complete(napi_env env, napi_status status, void *data) {
    const std::unique_ptr<HypercallWork> work(static_cast<HypercallWork *>(data));
    napi_value result = nullptr;
    // Cancelled, or the resolving refused: the environment is ending, and nobody waits any more.
    if (status == napi_ok && napi_create_double(env, static_cast<double>(work->slot_.result), &result) == napi_ok) {
      napi_resolve_deferred(env, work->deferred_, result);
    }
    napi_delete_async_work(env, work->work_);
  }

  const Ref<Privcmd> device_;
  Slot slot_;
  napi_deferred deferred_ = nullptr;
  napi_async_work work_ = nullptr;
};

}  // namespace

napi_value QueueHypercall(napi_env env, Ref<Privcmd> device, const Slot &slot) {
  return HypercallWork::Queue(env, std::make_unique<HypercallWork>(std::move(device), slot));
}

}  // namespace xenctrl
