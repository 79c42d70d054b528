// The surface of the devices for grants.

#include <cerrno>

#include "binding.h"
#include "grants.h"

namespace xenctrl {
namespace {

class GrantsHandle final : public Handle {
 public:
  GrantsHandle(Environment *environment, Ref<Grants> grants) : Handle(environment), grants_(std::move(grants)) {}

  /// Null once the handle is closed.
  const Ref<Grants> &grants() const { return grants_; }
  MappingTable &mappings() { return mappings_; }

  void Close(napi_env env) override {
    mappings_.CloseAll(env);
    grants_ = {};
  }

  void Abandon(napi_env env) override {
    mappings_.AbandonAll(env);
    grants_ = {};
  }

 private:
  Ref<Grants> grants_;
  MappingTable mappings_;
};

/// map(domid, refs, prot): {id, buffer}, or a negative errno.
Napi::Value Map(const Napi::CallbackInfo &info) {
  auto *const handle = HandleOf<GrantsHandle>(info);
  if (!handle->grants()) return Result(info, -EBADF);
  uint16_t domid = 0;
  uint64_t prot = 0;
  size_t count = 0;
  const auto *refs = Elements<uint32_t>(info[1], napi_uint32_array, &count);
  if (!ReadUnsigned(info[0], &domid) || !refs || !ReadIndex(info[2], INT32_MAX, &prot)) return Result(info, -EINVAL);
  if (handle->mappings().full()) return Result(info, -EMFILE);
  Ref<Memory> memory;
  const int rc = handle->grants()->Map(domid, refs, count, static_cast<int>(prot), &memory);
  return rc < 0 ? Result(info, rc) : NewMapping(info, &handle->mappings(), std::move(memory));
}

/// share(domid, writable, refs): {id, buffer}, or a negative errno.
Napi::Value Share(const Napi::CallbackInfo &info) {
  auto *const handle = HandleOf<GrantsHandle>(info);
  if (!handle->grants()) return Result(info, -EBADF);
  uint16_t domid = 0;
  size_t count = 0;
  auto *refs = Elements<uint32_t>(info[2], napi_uint32_array, &count);
  if (!ReadUnsigned(info[0], &domid) || !info[1].IsBoolean() || !refs) return Result(info, -EINVAL);
  if (handle->mappings().full()) return Result(info, -EMFILE);
  Ref<Memory> memory;
  const int rc = handle->grants()->Share(domid, info[1].As<Napi::Boolean>(), refs, count, &memory);
  return rc < 0 ? Result(info, rc) : NewMapping(info, &handle->mappings(), std::move(memory));
}

/// unmap(id)
Napi::Value Unmap(const Napi::CallbackInfo &info) {
  uint64_t id = 0;
  auto *const handle = HandleOf<GrantsHandle>(info);
  const bool closed = ReadIndex(info[0], kMaxSafeInteger, &id) && handle->mappings().Close(info.Env(), id);
  return Result(info, closed ? 0 : -EINVAL);
}

}  // namespace

/// openGrants(): the handle's object. The devices are opened when they are needed.
Napi::Value OpenGrants(const Napi::CallbackInfo &info) {
  const Napi::Env env = info.Env();
  Handle *const handle = new GrantsHandle(env.GetInstanceData<Environment>(), Ref<Grants>(new Grants));
  const Napi::Object object = Napi::Object::New(env);
  AddFunction(object, "map", Call<Map>, handle);
  AddFunction(object, "share", Call<Share>, handle);
  AddFunction(object, "unmap", Call<Unmap>, handle);
  AddFunction(object, "close", Call<CloseHandle>, handle);
  return object;
}

}  // namespace xenctrl
