// The addon's surface; src/hypervisor/privcmd/addon.ts declares it for TypeScript. Nothing here throws: wrong arguments
// give -EINVAL, a closed handle -EBADF. The messages are TypeScript's business.

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
  return QueueHypercall(info.Env(), device, slot);
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
  Napi::Object result = Napi::Object::New(info.Env());
  result.Set("id", static_cast<double>(handle->AddMapping(std::move(buffer))));
  result.Set("buffer", array_buffer);
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

/// Makes a function of the handle a property of `target`.
void AddFunction(Napi::Object target, const char *name, Napi::Function function, Handle *handle) {
  handle->Retain();
  function.AddFinalizer([](Napi::Env env, Handle *released) { released->Release(env); }, handle);
  target.Set(name, function);
}

template <Napi::Value (*callback)(const Napi::CallbackInfo &)>
void AddColdFunction(Napi::Object target, const char *name, Handle *handle) {
  AddFunction(target, name, Napi::Function::New<callback>(target.Env(), name, handle), handle);
}

Napi::Value HandleObject(Napi::Env env, Handle *handle, uintptr_t address, napi_value arena) {
  Napi::Object object = Napi::Object::New(env);
  napi_value hypercall = nullptr;
  NAPI_THROW_IF_FAILED(env, napi_create_function(env, "hypercall", NAPI_AUTO_LENGTH, Hypercall, handle, &hypercall),
                       env.Undefined());
  AddFunction(object, "hypercall", Napi::Function(env, hypercall), handle);
  AddColdFunction<HypercallBatch>(object, "hypercallBatch", handle);
  AddColdFunction<HypercallAsync>(object, "hypercallAsync", handle);
  AddColdFunction<MapForeign>(object, "mapForeign", handle);
  AddColdFunction<Unmap>(object, "unmap", handle);
  AddColdFunction<Restrict>(object, "restrict", handle);
  AddColdFunction<Close>(object, "close", handle);
  object.Set("arena", arena);
  object.Set("address", static_cast<double>(address));  // user addresses have 47 bits, 56 at the very most
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
  if (address > kMaxSafeInteger) return Result(info, -ENOMEM);
  auto arena = ExternalBuffer::Create(env, device->arena(), &array_buffer, &status);
  if (!arena) return Result(info, status == napi_no_external_buffers_allowed ? -ENOTSUP : -ENOMEM);
  auto *const handle = new Handle(env.GetInstanceData<Environment>(), std::move(device));
  handle->SetArena(std::move(arena));
  return HandleObject(env, handle, address, array_buffer);
}

Napi::Object Init(Napi::Env env, Napi::Object exports) {
  auto *const environment = new Environment;
  env.SetInstanceData(environment);
  const napi_env raw = env;
  env.AddCleanupHook([raw, environment] { environment->End(raw); });
  exports.Set("abi", kAbi);
  exports.Set("open", Napi::Function::New<Open>(env, "open"));
  return exports;
}

}  // namespace

// The macro wants a plain name.
Napi::Object InitAddon(Napi::Env env, Napi::Object exports) { return Init(env, exports); }
NODE_API_MODULE(xenctrl, InitAddon)

}  // namespace xenctrl
