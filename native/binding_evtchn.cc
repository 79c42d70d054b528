// The surface of the event channel device.

#include <cerrno>
#include <iterator>
#include <string>

#include "binding.h"
#include "evtchn.h"
#include "poller.h"

namespace xenctrl {
namespace {

/// Calls its listener with each port that was signalled, taken and unmasked, and signals the port that the listener
/// returns: one way to JavaScript and back for what would be four.
class PortPoller final : public Poller {
 public:
  explicit PortPoller(Ref<Evtchn> device) : device_(std::move(device)) {}

 protected:
  void Ready(napi_value listener) override {
    uint32_t ports[16];
    const int count = device_->Take(ports, std::size(ports));
    if (count == -EAGAIN) return;  // another thread was faster
    if (count < 0) {
      Report(listener, count);
      if (!closed()) Close();  // it would be told for ever
      return;
    }
    for (int i = 0; i < count && !closed(); i++) Report(listener, ports[i]);
  }

 private:
  void Report(napi_value listener, double port) {
    napi_value argument = nullptr;
    if (napi_create_double(env(), port, &argument) != napi_ok) return;
    const napi_value result = Tell(listener, argument);
    uint32_t notify = 0;
    if (result && napi_get_value_uint32(env(), result, &notify) == napi_ok && notify != 0) device_->Notify(notify);
  }

  const Ref<Evtchn> device_;
};

class EvtchnHandle final : public Handle {
 public:
  EvtchnHandle(Environment *environment, Ref<Evtchn> device) : Handle(environment), device_(std::move(device)) {}

  /// Null once the handle is closed.
  const Ref<Evtchn> &device() const { return device_; }

  /// `listener` null: none.
  int Listen(napi_env env, napi_value listener, bool take) {
    if (poller_) poller_->Close();
    if (!listener) return 0;
    return Poller::Start(take ? new PortPoller(device_) : new Poller, env, device_->fd(), listener, &poller_);
  }

  void Close(napi_env /*env*/) override {
    if (poller_) poller_->Close();
    device_ = {};
  }
  void Abandon(napi_env env) override { Close(env); }

 private:
  Ref<Evtchn> device_;
  Poller *poller_ = nullptr;
};

const Ref<Evtchn> &DeviceOf(const Napi::CallbackInfo &info) { return HandleOf<EvtchnHandle>(info)->device(); }

/// A function of one number.
template <typename Unsigned, int (Evtchn::*function)(Unsigned) const>
Napi::Value OfOneNumber(const Napi::CallbackInfo &info) {
  const auto &device = DeviceOf(info);
  Unsigned number = 0;
  if (!device) return Result(info, -EBADF);
  if (!ReadUnsigned(info[0], &number)) return Result(info, -EINVAL);
  return Result(info, (device.get()->*function)(number));
}

/// bindInterdomain(domid, port)
Napi::Value BindRemote(const Napi::CallbackInfo &info) {
  const auto &device = DeviceOf(info);
  uint32_t domid = 0;
  uint32_t port = 0;
  if (!device) return Result(info, -EBADF);
  if (!ReadUnsigned(info[0], &domid) || !ReadUnsigned(info[1], &port)) return Result(info, -EINVAL);
  return Result(info, device->BindInterdomain(domid, port));
}

/// pending()
Napi::Value Pending(const Napi::CallbackInfo &info) {
  const auto &device = DeviceOf(info);
  return Result(info, device ? static_cast<double>(device->Pending()) : -EBADF);
}

/// wait(milliseconds)
Napi::Value Wait(const Napi::CallbackInfo &info) {
  const auto &device = DeviceOf(info);
  uint64_t milliseconds = 0;
  if (!device) return Result(info, -EBADF);
  if (!ReadIndex(info[0], INT32_MAX, &milliseconds)) return Result(info, -EINVAL);
  return Result(info, device->Wait(static_cast<int>(milliseconds)));
}

/// next(milliseconds, port to notify first or 0)
Napi::Value Next(const Napi::CallbackInfo &info) {
  const auto &device = DeviceOf(info);
  uint64_t milliseconds = 0;
  uint32_t notify = 0;
  if (!device) return Result(info, -EBADF);
  if (!ReadIndex(info[0], INT32_MAX, &milliseconds) || !ReadUnsigned(info[1], &notify)) return Result(info, -EINVAL);
  return Result(info, static_cast<double>(device->Next(static_cast<int>(milliseconds), notify)));
}

/// wake()
Napi::Value Wake(const Napi::CallbackInfo &info) {
  const auto &device = DeviceOf(info);
  if (!device) return Result(info, -EBADF);
  device->Wake();
  return Result(info, 0);
}

/// onPending(listener or null), onPort(listener or null)
template <bool take>
Napi::Value Listen(const Napi::CallbackInfo &info) {
  auto *const handle = HandleOf<EvtchnHandle>(info);
  if (!handle->device()) return Result(info, -EBADF);
  if (!info[0].IsFunction() && !info[0].IsNull()) return Result(info, -EINVAL);
  return Result(info, handle->Listen(info.Env(), info[0].IsNull() ? nullptr : static_cast<napi_value>(info[0]), take));
}

/// The device that the arguments name: a path or null, or descriptors that are open.
Ref<Evtchn> Device(const Napi::CallbackInfo &info, int *error) {
  *error = -EINVAL;
  if (info[0].IsNumber()) {
    uint64_t fd = 0;
    uint64_t wake_fd = 0;
    const bool own_wake = info[1].IsNull();
    if (!ReadIndex(info[0], INT32_MAX, &fd)) return {};
    if (!own_wake && !ReadIndex(info[1], INT32_MAX, &wake_fd)) return {};
    return Evtchn::OpenAgain(static_cast<int>(fd), own_wake ? -1 : static_cast<int>(wake_fd), error);
  }
  std::string path;
  if (!ReadPath(info[0], &path)) return {};
  return Evtchn::Open(path.empty() ? nullptr : path.c_str(), error);
}

}  // namespace

/// openEvtchn(path or null), openEvtchn(fd, wake fd or null): the handle's object, or a negative errno.
Napi::Value OpenEvtchn(const Napi::CallbackInfo &info) {
  const Napi::Env env = info.Env();
  int error = 0;
  auto device = Device(info, &error);
  if (!device) return Result(info, error);
  const int fd = device->fd();
  const int wake_fd = device->wake_fd();
  Handle *const handle = new EvtchnHandle(env.GetInstanceData<Environment>(), std::move(device));
  const Napi::Object object = Napi::Object::New(env);
  AddFunction(object, "bindVirq", Call<OfOneNumber<uint32_t, &Evtchn::BindVirq>>, handle);
  AddFunction(object, "bindInterdomain", Call<BindRemote>, handle);
  AddFunction(object, "bindUnbound", Call<OfOneNumber<uint32_t, &Evtchn::BindUnbound>>, handle);
  AddFunction(object, "unbind", Call<OfOneNumber<uint32_t, &Evtchn::Unbind>>, handle);
  AddFunction(object, "notify", Call<OfOneNumber<uint32_t, &Evtchn::Notify>>, handle);
  AddFunction(object, "pending", Call<Pending>, handle);
  AddFunction(object, "unmask", Call<OfOneNumber<uint32_t, &Evtchn::Unmask>>, handle);
  AddFunction(object, "restrict", Call<OfOneNumber<uint16_t, &Evtchn::Restrict>>, handle);
  AddFunction(object, "wait", Call<Wait>, handle);
  AddFunction(object, "next", Call<Next>, handle);
  AddFunction(object, "wake", Call<Wake>, handle);
  AddFunction(object, "onPending", Call<Listen<false>>, handle);
  AddFunction(object, "onPort", Call<Listen<true>>, handle);
  AddFunction(object, "close", Call<CloseHandle>, handle);
  SetProperty(object, "fd", Napi::Number::New(env, fd));
  SetProperty(object, "wakeFd", Napi::Number::New(env, wake_fd));
  return object;
}

}  // namespace xenctrl
