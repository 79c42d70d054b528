#include "async.h"

#include <utility>

namespace xenctrl {
namespace {

class HypercallWork : public Napi::AsyncWorker {
 public:
  HypercallWork(Napi::Env env, Ref<Privcmd> device, const Slot &slot)
      : Napi::AsyncWorker(env, "xenctrl.hypercall"),
        device_(std::move(device)),
        slot_(slot),
        deferred_(Napi::Promise::Deferred::New(env)) {}

  Napi::Promise promise() const { return deferred_.Promise(); }

  void Execute() override { slot_.result = device_->Issue(&slot_); }
  void OnOK() override { deferred_.Resolve(Napi::Number::New(Env(), static_cast<double>(slot_.result))); }

 private:
  const Ref<Privcmd> device_;
  Slot slot_;
  const Napi::Promise::Deferred deferred_;
};

}  // namespace

Napi::Promise QueueHypercall(Napi::Env env, Ref<Privcmd> device, const Slot &slot) {
  auto *const work = new HypercallWork(env, std::move(device), slot);
  const Napi::Promise promise = work->promise();
  work->Queue();  // it deletes itself when it is done
  return promise;
}

}  // namespace xenctrl
