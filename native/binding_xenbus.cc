// The surface of the xenbus device.

#include <cerrno>
#include <string>

#include "binding.h"
#include "poller.h"
#include "xenbus.h"

namespace xenctrl {
namespace {

class XenbusHandle final : public Handle {
 public:
  XenbusHandle(Environment *environment, Ref<Xenbus> device) : Handle(environment), device_(std::move(device)) {}

  /// Null once the handle is closed.
  const Ref<Xenbus> &device() const { return device_; }

  /// `listener` null: none.
  int Listen(napi_env env, napi_value listener) {
    if (poller_) poller_->Close();
    return listener ? Poller::Start(env, device_->fd(), listener, &poller_) : 0;
  }

  void Close(napi_env /*env*/) override {
    if (poller_) poller_->Close();
    device_ = {};
  }
  void Abandon(napi_env env) override { Close(env); }

 private:
  Ref<Xenbus> device_;
  Poller *poller_ = nullptr;
};

const Ref<Xenbus> &DeviceOf(const Napi::CallbackInfo &info) { return HandleOf<XenbusHandle>(info)->device(); }

/// read(bytes)
Napi::Value Read(const Napi::CallbackInfo &info) {
  const auto &device = DeviceOf(info);
  size_t size = 0;
  if (!device) return Result(info, -EBADF);
  uint8_t *const bytes = Elements<uint8_t>(info[0], napi_uint8_array, &size);
  if (!bytes) return Result(info, -EINVAL);
  return Result(info, static_cast<double>(device->Read(bytes, size)));
}

/// write(bytes)
Napi::Value Write(const Napi::CallbackInfo &info) {
  const auto &device = DeviceOf(info);
  size_t size = 0;
  if (!device) return Result(info, -EBADF);
  const uint8_t *const bytes = Elements<uint8_t>(info[0], napi_uint8_array, &size);
  if (!bytes) return Result(info, -EINVAL);
  return Result(info, static_cast<double>(device->Write(bytes, size)));
}

/// onReadable(listener or null)
Napi::Value OnReadable(const Napi::CallbackInfo &info) {
  auto *const handle = HandleOf<XenbusHandle>(info);
  if (!handle->device()) return Result(info, -EBADF);
  if (!info[0].IsFunction() && !info[0].IsNull()) return Result(info, -EINVAL);
  return Result(info, handle->Listen(info.Env(), info[0].IsNull() ? nullptr : static_cast<napi_value>(info[0])));
}

}  // namespace

/// openXenbus(path): the handle's object, or a negative errno.
Napi::Value OpenXenbus(const Napi::CallbackInfo &info) {
  const Napi::Env env = info.Env();
  std::string path;
  int error = 0;
  if (!ReadPath(info[0], &path) || path.empty()) return Result(info, -EINVAL);
  auto device = Xenbus::Open(path.c_str(), &error);
  if (!device) return Result(info, error);
  Handle *const handle = new XenbusHandle(env.GetInstanceData<Environment>(), std::move(device));
  const Napi::Object object = Napi::Object::New(env);
  AddFunction(object, "read", Call<Read>, handle);
  AddFunction(object, "write", Call<Write>, handle);
  AddFunction(object, "onReadable", Call<OnReadable>, handle);
  AddFunction(object, "close", Call<CloseHandle>, handle);
  return object;
}

}  // namespace xenctrl
