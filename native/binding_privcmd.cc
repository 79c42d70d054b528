// The surface of the privcmd device.

#include <cerrno>
#include <string>

#include "async.h"
#include "binding.h"
#include "privcmd.h"

namespace xenctrl {
namespace {

class PrivcmdHandle final : public Handle {
 public:
  PrivcmdHandle(Environment *environment, Ref<Privcmd> device, Ref<ExternalBuffer> arena)
      : Handle(environment), device_(std::move(device)), arena_(std::move(arena)) {}

  /// Null once the handle is closed. The device itself closes when no call in flight uses it any more.
  const Ref<Privcmd> &device() const { return device_; }
  MappingTable &mappings() { return mappings_; }

  void Close(napi_env env) override {
    mappings_.CloseAll(env);
    if (arena_) arena_->Detach(env);
    arena_ = {};
    device_ = {};
  }

  void Abandon(napi_env env) override {
    mappings_.AbandonAll(env);
    if (arena_) arena_->LeaveToCollector(env);
    arena_ = {};
    device_ = {};
  }

 private:
  Ref<Privcmd> device_;
  Ref<ExternalBuffer> arena_;
  MappingTable mappings_;
};

const Ref<Privcmd> &DeviceOf(const Napi::CallbackInfo &info) { return HandleOf<PrivcmdHandle>(info)->device(); }

/// hypercall(): the call in the arena's first slot. Raw Node-API, no arguments and no result: the arena has both, and
/// so the boundary costs a third of what node-addon-api makes it.
napi_value Hypercall(napi_env env, napi_callback_info info) {
  void *data = nullptr;
  napi_get_cb_info(env, info, nullptr, nullptr, nullptr, &data);
  const Privcmd *const device = static_cast<PrivcmdHandle *>(static_cast<Handle *>(data))->device().get();
  if (device) device->Hypercall();
  return nullptr;
}

/// hypercallBatch(offset, count)
Napi::Value HypercallBatch(const Napi::CallbackInfo &info) {
  const auto &device = DeviceOf(info);
  uint64_t offset = 0;
  uint64_t count = 0;
  if (!device) return Result(info, -EBADF);
  if (!ReadIndex(info[0], kMaxSafeInteger, &offset) || !ReadIndex(info[1], kMaxSafeInteger, &count)) {
    return Result(info, -EINVAL);
  }
  return Result(info, device->Batch(offset, count));
}

/// hypercallAsync(offset): a promise, or a negative errno.
Napi::Value HypercallAsync(const Napi::CallbackInfo &info) {
  const auto &device = DeviceOf(info);
  uint64_t offset = 0;
  Slot slot{};
  if (!device) return Result(info, -EBADF);
  if (!ReadIndex(info[0], kMaxSafeInteger, &offset)) return Result(info, -EINVAL);
  const int rc = device->ReadSlot(offset, &slot);
  if (rc < 0) return Result(info, rc);
  return {info.Env(), QueueHypercall(info.Env(), device, slot)};
}

/// mapForeign(domid, gfns, prot, errors): {id, buffer}, or a negative errno.
Napi::Value MapForeign(const Napi::CallbackInfo &info) {
  auto *const handle = HandleOf<PrivcmdHandle>(info);
  if (!handle->device()) return Result(info, -EBADF);
  uint16_t domid = 0;
  uint64_t prot = 0;
  size_t count = 0;
  size_t error_count = 0;
  const auto *gfns = Elements<uint64_t>(info[1], napi_biguint64_array, &count);
  auto *errors = Elements<int32_t>(info[3], napi_int32_array, &error_count);
  if (!ReadUnsigned(info[0], &domid) || !ReadIndex(info[2], INT32_MAX, &prot)) return Result(info, -EINVAL);
  if (!gfns || !errors || count != error_count) return Result(info, -EINVAL);
  if (handle->mappings().full()) return Result(info, -EMFILE);
  Ref<Memory> memory;
  const int rc = handle->device()->MapForeign(domid, gfns, count, static_cast<int>(prot), errors, &memory);
  return rc < 0 ? Result(info, rc) : NewMapping(info, &handle->mappings(), std::move(memory));
}

/// mapResource(domid, type, id, frame, count, prot): {id, buffer}, or a negative errno.
Napi::Value MapResource(const Napi::CallbackInfo &info) {
  auto *const handle = HandleOf<PrivcmdHandle>(info);
  if (!handle->device()) return Result(info, -EBADF);
  uint16_t domid = 0;
  uint32_t type = 0;
  uint32_t id = 0;
  uint32_t frame = 0;
  uint32_t count = 0;
  uint64_t prot = 0;
  if (!ReadUnsigned(info[0], &domid) || !ReadUnsigned(info[1], &type) || !ReadUnsigned(info[2], &id) ||
      !ReadUnsigned(info[3], &frame) || !ReadUnsigned(info[4], &count) || !ReadIndex(info[5], INT32_MAX, &prot)) {
    return Result(info, -EINVAL);
  }
  if (handle->mappings().full()) return Result(info, -EMFILE);
  Ref<Memory> memory;
  const int rc = handle->device()->MapResource(domid, type, id, frame, count, static_cast<int>(prot), &memory);
  return rc < 0 ? Result(info, rc) : NewMapping(info, &handle->mappings(), std::move(memory));
}

/// resourceSize(domid, type, id)
Napi::Value ResourceSize(const Napi::CallbackInfo &info) {
  const auto &device = DeviceOf(info);
  if (!device) return Result(info, -EBADF);
  uint16_t domid = 0;
  uint32_t type = 0;
  uint32_t id = 0;
  if (!ReadUnsigned(info[0], &domid) || !ReadUnsigned(info[1], &type) || !ReadUnsigned(info[2], &id)) {
    return Result(info, -EINVAL);
  }
  return Result(info, static_cast<double>(device->ResourceSize(domid, type, id)));
}

/// dmOp(domid, ...buffers)
Napi::Value DeviceModelOp(const Napi::CallbackInfo &info) {
  const auto &device = DeviceOf(info);
  if (!device) return Result(info, -EBADF);
  uint16_t domid = 0;
  if (info.Length() < 2 || !ReadUnsigned(info[0], &domid)) return Result(info, -EINVAL);
  const size_t count = info.Length() - 1;
  if (count > Privcmd::kMaxDmBuffers) return Result(info, -E2BIG);
  DmOpBuffer buffers[Privcmd::kMaxDmBuffers];
  for (size_t i = 0; i < count; i++) {
    buffers[i].bytes = Elements<uint8_t>(info[i + 1], napi_uint8_array, &buffers[i].size);
    if (!buffers[i].bytes) return Result(info, -EINVAL);
  }
  return Result(info, device->DeviceModelOp(domid, buffers, count));
}

/// unmap(id)
Napi::Value Unmap(const Napi::CallbackInfo &info) {
  uint64_t id = 0;
  auto *const handle = HandleOf<PrivcmdHandle>(info);
  const bool closed = ReadIndex(info[0], kMaxSafeInteger, &id) && handle->mappings().Close(info.Env(), id);
  return Result(info, closed ? 0 : -EINVAL);
}

/// restrict(domid)
Napi::Value Restrict(const Napi::CallbackInfo &info) {
  const auto &device = DeviceOf(info);
  uint16_t domid = 0;
  if (!device) return Result(info, -EBADF);
  if (!ReadUnsigned(info[0], &domid)) return Result(info, -EINVAL);
  return Result(info, device->Restrict(domid));
}

}  // namespace

/// open(path or null, arena pages): the handle's object, or a negative errno.
Napi::Value OpenPrivcmd(const Napi::CallbackInfo &info) {
  const Napi::Env env = info.Env();
  uint64_t pages = 0;
  std::string path;
  if (!ReadPath(info[0], &path) || !ReadIndex(info[1], Privcmd::kMaxArenaPages, &pages)) return Result(info, -EINVAL);
  int error = 0;
  auto device = Privcmd::Open(path.empty() ? nullptr : path.c_str(), pages, &error);
  if (!device) return Result(info, error);

  napi_value array_buffer = nullptr;
  napi_status status = napi_ok;
  const uintptr_t address = device->arena()->address();
  auto arena = ExternalBuffer::Create(env, device->arena(), &array_buffer, &status);
  if (!arena) return Result(info, status == napi_no_external_buffers_allowed ? -ENOTSUP : -ENOMEM);
  Handle *const handle = new PrivcmdHandle(env.GetInstanceData<Environment>(), std::move(device), std::move(arena));
  const Napi::Object object = Napi::Object::New(env);
  AddFunction(object, "hypercall", Hypercall, handle);
  AddFunction(object, "hypercallBatch", Call<HypercallBatch>, handle);
  AddFunction(object, "hypercallAsync", Call<HypercallAsync>, handle);
  AddFunction(object, "mapForeign", Call<MapForeign>, handle);
  AddFunction(object, "mapResource", Call<MapResource>, handle);
  AddFunction(object, "resourceSize", Call<ResourceSize>, handle);
  AddFunction(object, "dmOp", Call<DeviceModelOp>, handle);
  AddFunction(object, "unmap", Call<Unmap>, handle);
  AddFunction(object, "restrict", Call<Restrict>, handle);
  AddFunction(object, "close", Call<CloseHandle>, handle);
  SetProperty(object, "arena", array_buffer);
  // user addresses have 47 bits, 56 at the very most: a double holds them
  SetProperty(object, "address", Napi::Number::New(env, static_cast<double>(address)));
  return object;
}

}  // namespace xenctrl
