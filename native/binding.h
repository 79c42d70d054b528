// What the parts of the addon's surface have in common.
//
// Nothing here throws: wrong arguments give -EINVAL, a closed handle -EBADF. The messages are TypeScript's business.
//
// A worker may be terminated in the middle of anything. From then on whatever may run JavaScript (making functions,
// setting properties, promises, buffers) fails, and node-addon-api would make that failure fatal. Those calls are made
// through Node-API itself, and what cannot be finished is dropped: nobody is left to see it.
#pragma once

#include <napi.h>

#include <cmath>
#include <cstdint>
#include <limits>
#include <string>

#include "handle.h"
#include "mapping_table.h"

namespace xenctrl {

constexpr uint64_t kMaxSafeInteger = (uint64_t{1} << 53) - 1;

/// A whole number from 0 to `limit`.
inline bool ReadIndex(const Napi::Value &value, uint64_t limit, uint64_t *index) {
  if (!value.IsNumber()) return false;
  const double number = value.As<Napi::Number>().DoubleValue();
  if (!(number >= 0 && number <= static_cast<double>(limit)) || std::trunc(number) != number) return false;
  *index = static_cast<uint64_t>(number);
  return true;
}

template <typename Unsigned>
bool ReadUnsigned(const Napi::Value &value, Unsigned *number) {
  uint64_t index = 0;
  if (!ReadIndex(value, std::numeric_limits<Unsigned>::max(), &index)) return false;
  *number = static_cast<Unsigned>(index);
  return true;
}

/// A device's path; empty for null: where Linux has it.
inline bool ReadPath(const Napi::Value &value, std::string *path) {
  if (value.IsNull()) return true;
  if (!value.IsString()) return false;
  *path = value.As<Napi::String>().Utf8Value();
  return !path->empty() && path->find('\0') == std::string::npos;
}

/// The elements of a typed array of exactly this type; null when it is none.
template <typename Element>
Element *Elements(const Napi::Value &value, napi_typedarray_type type, size_t *count) {
  if (!value.IsTypedArray() || value.As<Napi::TypedArray>().TypedArrayType() != type) return nullptr;
  auto array = value.As<Napi::TypedArrayOf<Element>>();
  *count = array.ElementLength();
  return array.Data();
}

inline Napi::Value Result(const Napi::CallbackInfo &info, double result) {
  return Napi::Number::New(info.Env(), result);
}

inline void SetProperty(const Napi::Object &object, const char *name, napi_value value) {
  napi_set_named_property(object.Env(), object, name, value);
}

/// What Node-API calls for a function written with node-addon-api.
template <Napi::Value (*function)(const Napi::CallbackInfo &)>
napi_value Call(napi_env env, napi_callback_info raw) {
  const Napi::CallbackInfo info(env, raw);
  return function(info);
}

/// The handle that a function belongs to.
template <typename Kind>
Kind *HandleOf(const Napi::CallbackInfo &info) {
  return static_cast<Kind *>(static_cast<Handle *>(info.Data()));
}

/// Adds a function of the handle to its object. The function keeps the handle alive.
void AddFunction(const Napi::Object &object, const char *name, napi_callback callback, Handle *handle);

/// close()
Napi::Value CloseHandle(const Napi::CallbackInfo &info);

/// Takes new memory into a table: {id, buffer}, or a negative errno.
Napi::Value NewMapping(const Napi::CallbackInfo &info, MappingTable *table, Ref<Memory> memory);

// The parts of the surface: what each opens.
Napi::Value OpenPrivcmd(const Napi::CallbackInfo &info);
Napi::Value OpenEvtchn(const Napi::CallbackInfo &info);
Napi::Value OpenGrants(const Napi::CallbackInfo &info);
Napi::Value OpenEsp(const Napi::CallbackInfo &info);
Napi::Value OpenXenbus(const Napi::CallbackInfo &info);
Napi::Value OpenPacketSocket(const Napi::CallbackInfo &info);
Napi::Value OpenTap(const Napi::CallbackInfo &info);
Napi::Value ReadNetFeatures(const Napi::CallbackInfo &info);
Napi::Value WriteNetFeatures(const Napi::CallbackInfo &info);
Napi::Value ReadNetInterfaceIndex(const Napi::CallbackInfo &info);
Napi::Value ReadNetInterfaceName(const Napi::CallbackInfo &info);
Napi::Value ReadPeerIsIn(const Napi::CallbackInfo &info);
Napi::Value ReadVethPeerIndex(const Napi::CallbackInfo &info);
Napi::Value OpenNat(const Napi::CallbackInfo &info);

// Packets.
napi_value NetChecksumSum(napi_env env, napi_callback_info info);
napi_value NetClassifyPackets(napi_env env, napi_callback_info info);

}  // namespace xenctrl
