// The addon's surface; src/hypervisor/privcmd/addon.ts declares it for TypeScript. Nothing here throws: wrong arguments
// give -EINVAL, a closed handle -EBADF. The messages are TypeScript's business.
//
// A worker may be terminated in the middle of anything. From then on whatever may run JavaScript (making functions,
// setting properties, promises, buffers) fails, and node-addon-api would make that failure fatal. Those calls are made
// through Node-API itself, and what cannot be finished is dropped: nobody is left to see it.

#include <napi.h>

#include <cerrno>
#include <cmath>
#include <string>

#include "async.h"
#include "handle.h"

namespace xenctrl {
namespace {

/// Raised with every change of the surface, so that TypeScript can tell a stale build.
constexpr int kAbi = 1;

/// A whole number from 0 to `limit`.
bool ReadIndex(const Napi::Value &value, uint64_t limit, uint64_t *index) {
  if (!value.IsNumber()) return false;
  const double number = value.As<Napi::Number>().DoubleValue();
  if (!(number >= 0 && number <= static_cast<double>(limit)) || std::trunc(number) != number) return false;
  *index = static_cast<uint64_t>(number);
  return true;
}

constexpr uint64_t kMaxSafeInteger = (uint64_t{1} << 53) - 1;

Napi::Value Result(const Napi::CallbackInfo &info, double result) { return Napi::Number::New(info.Env(), result); }

void SetProperty(const Napi::Object &object, const char *name, napi_value value) {
  napi_set_named_property(object.Env(), object, name, value);
}

Handle *HandleOf(const Napi::CallbackInfo &info) { return static_cast<Handle *>(info.Data()); }

/// hypercall(): the call in the arena's first slot. Raw Node-API, no arguments and no result: the arena has both, and
/// so the boundary costs a third of what node-addon-api makes it.
napi_value Hypercall(napi_env env, napi_callback_info info) {
  void *data = nullptr;
  napi_get_cb_info(env, info, nullptr, nullptr, nullptr, &data);
  const Privcmd *const device = static_cast<Handle *>(data)->device().get();
  if (device) device->Hypercall();
  return nullptr;
}

/// hypercallBatch(offset, count)
Napi::Value HypercallBatch(const Napi::CallbackInfo &info) {
  const auto &device = HandleOf(info)->device();
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
  const auto &device = HandleOf(info)->device();
  uint64_t offset = 0;
  Slot slot{};
  if (!device) return Result(info, -EBADF);
  if (!ReadIndex(info[0], kMaxSafeInteger, &offset)) return Result(info, -EINVAL);
  const int rc = device->ReadSlot(offset, &slot);
  if (rc < 0) return Result(info, rc);
  return {info.Env(), QueueHypercall(info.Env(), device, slot)};
}

/// The elements of a typed array of exactly this type; null when it is none.
template <typename Element>
Element *Elements(const Napi::Value &value, napi_typedarray_type type, size_t *count) {
  if (!value.IsTypedArray() || value.As<Napi::TypedArray>().TypedArrayType() != type) return nullptr;
  auto array = value.As<Napi::TypedArrayOf<Element>>();
  *count = array.ElementLength();
  return array.Data();
}

/// mapForeign(domid, gfns, prot, errors): {id, buffer}, or a negative errno.
Napi::Value MapForeign(const Napi::CallbackInfo &info) {
  Handle *const handle = HandleOf(info);
  if (!handle->device()) return Result(info, -EBADF);
  uint64_t domid = 0;
  uint64_t prot = 0;
  size_t count = 0;
  size_t error_count = 0;
  const auto *gfns = Elements<uint64_t>(info[1], napi_biguint64_array, &count);
  auto *errors = Elements<int32_t>(info[3], napi_int32_array, &error_count);
  if (!ReadIndex(info[0], UINT16_MAX, &domid) || !ReadIndex(info[2], INT32_MAX, &prot)) return Result(info, -EINVAL);
  if (!gfns || !errors || count != error_count) return Result(info, -EINVAL);
  if (handle->MappingsFull()) return Result(info, -EMFILE);

  Ref<Memory> memory;
  const int rc =
      handle->device()->MapForeign(static_cast<uint16_t>(domid), gfns, count, static_cast<int>(prot), errors, &memory);
  if (rc < 0) return Result(info, rc);
  napi_value array_buffer = nullptr;
  napi_status status = napi_ok;
  auto buffer = ExternalBuffer::Create(info.Env(), std::move(memory), &array_buffer, &status);
  if (!buffer) return Result(info, status == napi_no_external_buffers_allowed ? -ENOTSUP : -ENOMEM);
  const Napi::Object result = Napi::Object::New(info.Env());
  SetProperty(result, "id", Result(info, static_cast<double>(handle->AddMapping(std::move(buffer)))));
  SetProperty(result, "buffer", array_buffer);
  return result;
}

/// unmap(id)
Napi::Value Unmap(const Napi::CallbackInfo &info) {
  uint64_t id = 0;
  const bool closed = ReadIndex(info[0], kMaxSafeInteger, &id) && HandleOf(info)->CloseMapping(info.Env(), id);
  return Result(info, closed ? 0 : -EINVAL);
}

/// restrict(domid)
Napi::Value Restrict(const Napi::CallbackInfo &info) {
  const auto &device = HandleOf(info)->device();
  uint64_t domid = 0;
  if (!device) return Result(info, -EBADF);
  if (!ReadIndex(info[0], UINT16_MAX, &domid)) return Result(info, -EINVAL);
  return Result(info, device->Restrict(static_cast<uint16_t>(domid)));
}

/// close()
Napi::Value Close(const Napi::CallbackInfo &info) {
  HandleOf(info)->Close(info.Env());
  return Result(info, 0);
}

/// What Node-API calls for a function written with node-addon-api.
template <Napi::Value (*function)(const Napi::CallbackInfo &)>
napi_value Call(napi_env env, napi_callback_info raw) {
  const Napi::CallbackInfo info(env, raw);
  return function(info);
}

/// Adds a function of the handle to its object. The function keeps the handle alive.
void AddFunction(const Napi::Object &object, const char *name, napi_callback callback, Handle *handle) {
  napi_env env = object.Env();
  napi_value function = nullptr;
  if (napi_create_function(env, name, NAPI_AUTO_LENGTH, callback, handle, &function) != napi_ok) return;
  const auto release = [](napi_env ending, void *data, void *) { static_cast<Handle *>(data)->Release(ending); };
  if (napi_add_finalizer(env, function, handle, release, nullptr, nullptr) != napi_ok) return;
  handle->Retain();
  SetProperty(object, name, function);
}

Napi::Object HandleObject(Napi::Env env, Handle *handle, uintptr_t address, napi_value arena) {
  const Napi::Object object = Napi::Object::New(env);
  AddFunction(object, "hypercall", Hypercall, handle);
  AddFunction(object, "hypercallBatch", Call<HypercallBatch>, handle);
  AddFunction(object, "hypercallAsync", Call<HypercallAsync>, handle);
  AddFunction(object, "mapForeign", Call<MapForeign>, handle);
  AddFunction(object, "unmap", Call<Unmap>, handle);
  AddFunction(object, "restrict", Call<Restrict>, handle);
  AddFunction(object, "close", Call<Close>, handle);
  SetProperty(object, "arena", arena);
  // user addresses have 47 bits, 56 at the very most: a double holds them
  SetProperty(object, "address", Napi::Number::New(env, static_cast<double>(address)));
  return object;
}

/// open(path or null, arena pages): the handle's object, or a negative errno.
Napi::Value Open(const Napi::CallbackInfo &info) {
  const Napi::Env env = info.Env();
  uint64_t pages = 0;
  std::string path;
  if (!ReadIndex(info[1], Privcmd::kMaxArenaPages, &pages)) return Result(info, -EINVAL);
  if (info[0].IsString()) {
    path = info[0].As<Napi::String>().Utf8Value();
    if (path.empty() || path.find('\0') != std::string::npos) return Result(info, -EINVAL);
  } else if (!info[0].IsNull()) {
    return Result(info, -EINVAL);
  }
  int error = 0;
  auto device = Privcmd::Open(path.empty() ? nullptr : path.c_str(), pages, &error);
  if (!device) return Result(info, error);

  napi_value array_buffer = nullptr;
  napi_status status = napi_ok;
  const uintptr_t address = device->arena()->address();
  auto arena = ExternalBuffer::Create(env, device->arena(), &array_buffer, &status);
  if (!arena) return Result(info, status == napi_no_external_buffers_allowed ? -ENOTSUP : -ENOMEM);
  auto *const handle = new Handle(env.GetInstanceData<Environment>(), std::move(device));
  handle->SetArena(std::move(arena));
  return HandleObject(env, handle, address, array_buffer);
}

}  // namespace

Napi::Object Init(Napi::Env env, Napi::Object exports) {
  auto *const environment = new Environment;
  env.SetInstanceData(environment);
  napi_env raw = env;
  env.AddCleanupHook([raw, environment] { environment->End(raw); });
  napi_value open = nullptr;
  if (napi_create_function(env, "open", NAPI_AUTO_LENGTH, Call<Open>, nullptr, &open) == napi_ok) {
    SetProperty(exports, "open", open);
  }
  SetProperty(exports, "abi", Napi::Number::New(env, kAbi));
  return exports;
}

NODE_API_MODULE(xenctrl, Init)

}  // namespace xenctrl
