// The surface of packet sockets, TAP devices and interfaces' features.

#include <cerrno>

#include "binding.h"
#include "netdev.h"
#include "poller.h"

namespace xenctrl {
namespace {

class NetDeviceHandle final : public Handle {
 public:
  NetDeviceHandle(Environment *environment, Ref<NetDevice> device) : Handle(environment), device_(std::move(device)) {}

  /// Null once the handle is closed.
  const Ref<NetDevice> &device() const { return device_; }

  /// `listener` null: none.
  int Listen(napi_env env, napi_value listener) {
    if (poller_) poller_->Close();
    return listener ? Poller::Start(env, device_->fd(), listener, &poller_) : 0;
  }

  int Select(int events) { return poller_ ? poller_->Select(events) : -EINVAL; }

  void Close(napi_env /*env*/) override {
    if (poller_) poller_->Close();
    device_ = {};
  }
  void Abandon(napi_env env) override { Close(env); }

 private:
  Ref<NetDevice> device_;
  Poller *poller_ = nullptr;
};

const Ref<NetDevice> &DeviceOf(const Napi::CallbackInfo &info) { return HandleOf<NetDeviceHandle>(info)->device(); }

/// receive(bytes, slotSize, frames)
Napi::Value Receive(const Napi::CallbackInfo &info) {
  const auto &device = DeviceOf(info);
  size_t size = 0;
  size_t words = 0;
  uint32_t slot_size = 0;
  if (!device) return Result(info, -EBADF);
  uint8_t *const bytes = Elements<uint8_t>(info[0], napi_uint8_array, &size);
  int32_t *const frames = Elements<int32_t>(info[2], napi_int32_array, &words);
  if (!bytes || !frames || !ReadUnsigned(info[1], &slot_size) || slot_size == 0) return Result(info, -EINVAL);
  constexpr size_t kWords = sizeof(NetFrame) / sizeof(int32_t);
  const size_t slots = std::min(size / slot_size, words / kWords);
  const auto count = device->Receive(bytes, slot_size, slots, reinterpret_cast<NetFrame *>(frames));
  return Result(info, static_cast<double>(count));
}

/// send(bytes, places, first, count)
Napi::Value Send(const Napi::CallbackInfo &info) {
  const auto &device = DeviceOf(info);
  size_t size = 0;
  size_t words = 0;
  uint32_t first = 0;
  uint32_t count = 0;
  if (!device) return Result(info, -EBADF);
  uint8_t *const bytes = Elements<uint8_t>(info[0], napi_uint8_array, &size);
  const uint32_t *const numbers = Elements<uint32_t>(info[1], napi_uint32_array, &words);
  if (!bytes || !numbers || !ReadUnsigned(info[2], &first) || !ReadUnsigned(info[3], &count)) {
    return Result(info, -EINVAL);
  }
  if (uint64_t{first} + count > words / 2) return Result(info, -EINVAL);
  const auto *const places = reinterpret_cast<const NetPlace *>(numbers) + first;
  for (size_t i = 0; i < count; i++) {
    if (uint64_t{places[i].offset} + places[i].length > size) return Result(info, -EINVAL);
  }
  return Result(info, static_cast<double>(device->Send(bytes, places, count)));
}

/// statistics(counts)
Napi::Value Statistics(const Napi::CallbackInfo &info) {
  const auto &device = DeviceOf(info);
  size_t words = 0;
  if (!device) return Result(info, -EBADF);
  uint32_t *const counts = Elements<uint32_t>(info[0], napi_uint32_array, &words);
  if (!counts || words < 2) return Result(info, -EINVAL);
  return Result(info, device->Statistics(&counts[0], &counts[1]));
}

/// onReady(listener or null)
Napi::Value OnReady(const Napi::CallbackInfo &info) {
  auto *const handle = HandleOf<NetDeviceHandle>(info);
  if (!handle->device()) return Result(info, -EBADF);
  if (!info[0].IsFunction() && !info[0].IsNull()) return Result(info, -EINVAL);
  return Result(info, handle->Listen(info.Env(), info[0].IsNull() ? nullptr : static_cast<napi_value>(info[0])));
}

/// select(readable, writable)
Napi::Value Select(const Napi::CallbackInfo &info) {
  auto *const handle = HandleOf<NetDeviceHandle>(info);
  if (!handle->device()) return Result(info, -EBADF);
  if (!info[0].IsBoolean() || !info[1].IsBoolean()) return Result(info, -EINVAL);
  const int readable = info[0].As<Napi::Boolean>().Value() ? UV_READABLE : 0;
  const int writable = info[1].As<Napi::Boolean>().Value() ? UV_WRITABLE : 0;
  return Result(info, handle->Select(readable | writable));
}

bool ReadName(const Napi::Value &value, std::string *name) {
  if (!value.IsString()) return false;
  *name = value.As<Napi::String>().Utf8Value();
  return name->find('\0') == std::string::npos;
}

/// The first two arguments: a name, and the path of a network namespace or null.
bool ReadInterface(const Napi::CallbackInfo &info, NetInterface *interface) {
  return ReadName(info[0], &interface->name) && ReadPath(info[1], &interface->netns);
}

Napi::Value NewHandle(const Napi::CallbackInfo &info, Ref<NetDevice> device) {
  const Napi::Env env = info.Env();
  const auto &mac = device->mac();
  const auto name = Napi::String::New(env, device->name());
  const auto mtu = Napi::Number::New(env, device->mtu());
  const auto address = Napi::Array::New(env, mac.size());
  for (uint32_t i = 0; i < mac.size(); i++) napi_set_element(env, address, i, Napi::Number::New(env, mac[i]));
  Handle *const handle = new NetDeviceHandle(env.GetInstanceData<Environment>(), std::move(device));
  const Napi::Object object = Napi::Object::New(env);
  AddFunction(object, "receive", Call<Receive>, handle);
  AddFunction(object, "send", Call<Send>, handle);
  AddFunction(object, "statistics", Call<Statistics>, handle);
  AddFunction(object, "onReady", Call<OnReady>, handle);
  AddFunction(object, "select", Call<Select>, handle);
  AddFunction(object, "close", Call<CloseHandle>, handle);
  SetProperty(object, "name", name);
  SetProperty(object, "mtu", mtu);
  SetProperty(object, "mac", address);
  return object;
}

}  // namespace

/// openPacketSocket(name, netns or null, outgoing, promiscuous, receiveBuffer)
Napi::Value OpenPacketSocket(const Napi::CallbackInfo &info) {
  NetInterface interface;
  NetDevice::PacketOptions options{};
  if (!ReadInterface(info, &interface) || !info[2].IsBoolean() || !info[3].IsBoolean() ||
      !ReadUnsigned(info[4], &options.receive_buffer)) {
    return Result(info, -EINVAL);
  }
  options.outgoing = info[2].As<Napi::Boolean>().Value();
  options.promiscuous = info[3].As<Napi::Boolean>().Value();
  int error = 0;
  auto device = NetDevice::OpenPacket(interface, options, &error);
  return device ? NewHandle(info, std::move(device)) : Result(info, error);
}

/// openTap(name, netns or null, offload, up)
Napi::Value OpenTap(const Napi::CallbackInfo &info) {
  NetInterface interface;
  NetDevice::TapOptions options{};
  if (!ReadInterface(info, &interface) || !ReadUnsigned(info[2], &options.offload) || !info[3].IsBoolean()) {
    return Result(info, -EINVAL);
  }
  options.up = info[3].As<Napi::Boolean>().Value();
  int error = 0;
  auto device = NetDevice::OpenTap(interface, options, &error);
  return device ? NewHandle(info, std::move(device)) : Result(info, error);
}

/// readNetFeatures(name, netns or null): {names, words, driver}, or a negative errno.
Napi::Value ReadNetFeatures(const Napi::CallbackInfo &info) {
  const Napi::Env env = info.Env();
  NetInterface interface;
  NetFeatures features;
  if (!ReadInterface(info, &interface)) return Result(info, -EINVAL);
  const int rc = ReadNetFeatures(interface, &features);
  if (rc < 0) return Result(info, rc);
  const auto names = Napi::Array::New(env, features.names.size());
  for (uint32_t i = 0; i < features.names.size(); i++) {
    napi_set_element(env, names, i, Napi::String::New(env, features.names[i]));
  }
  const auto words = Napi::Array::New(env, features.words.size() * 4);
  for (uint32_t i = 0; i < features.words.size(); i++) {
    const auto &[available, requested, active, never_changed] = features.words[i];
    napi_set_element(env, words, i * 4, Napi::Number::New(env, available));
    napi_set_element(env, words, i * 4 + 1, Napi::Number::New(env, requested));
    napi_set_element(env, words, i * 4 + 2, Napi::Number::New(env, active));
    napi_set_element(env, words, i * 4 + 3, Napi::Number::New(env, never_changed));
  }
  const Napi::Object object = Napi::Object::New(env);
  SetProperty(object, "names", names);
  SetProperty(object, "words", words);
  SetProperty(object, "driver", Napi::String::New(env, features.driver));
  return object;
}

/// writeNetFeatures(name, netns or null, valid, requested)
Napi::Value WriteNetFeatures(const Napi::CallbackInfo &info) {
  NetInterface interface;
  size_t valid_words = 0;
  size_t words = 0;
  if (!ReadInterface(info, &interface)) return Result(info, -EINVAL);
  const uint32_t *const valid = Elements<uint32_t>(info[2], napi_uint32_array, &valid_words);
  const uint32_t *const requested = Elements<uint32_t>(info[3], napi_uint32_array, &words);
  if (!valid || !requested || valid_words != words) return Result(info, -EINVAL);
  return Result(info, WriteNetFeatures(interface, valid, requested, words));
}

/// netInterfaceIndex(name, netns or null)
Napi::Value ReadNetInterfaceIndex(const Napi::CallbackInfo &info) {
  NetInterface interface;
  return Result(info, ReadInterface(info, &interface) ? NetInterfaceIndex(interface) : -EINVAL);
}

/// vethPeerIndex(name, netns or null)
Napi::Value ReadVethPeerIndex(const Napi::CallbackInfo &info) {
  NetInterface interface;
  return Result(info, ReadInterface(info, &interface) ? VethPeerIndex(interface) : -EINVAL);
}

/// peerIsIn(name, netns or null, place or null)
Napi::Value ReadPeerIsIn(const Napi::CallbackInfo &info) {
  NetInterface interface;
  std::string place;
  if (!ReadInterface(info, &interface) || !ReadPath(info[2], &place)) return Result(info, -EINVAL);
  return Result(info, PeerIsIn(interface, place));
}

/// netInterfaceName(index, netns or null): the name, or a negative errno.
Napi::Value ReadNetInterfaceName(const Napi::CallbackInfo &info) {
  uint32_t index = 0;
  std::string netns;
  std::string name;
  if (!ReadUnsigned(info[0], &index) || !ReadPath(info[1], &netns)) return Result(info, -EINVAL);
  const int rc = NetInterfaceName(index, netns, &name);
  return rc < 0 ? Result(info, rc) : Napi::String::New(info.Env(), name);
}

}  // namespace xenctrl
