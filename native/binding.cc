// The addon's surface; src/native/addon.ts declares it for TypeScript.

#include "binding.h"

namespace xenctrl {
namespace {

/// Raised with every change of the surface, so that TypeScript can tell a stale build.
constexpr int kAbi = 13;

void Export(const Napi::Object &exports, const char *name, napi_callback callback) {
  napi_value function = nullptr;
  if (napi_create_function(exports.Env(), name, NAPI_AUTO_LENGTH, callback, nullptr, &function) != napi_ok) return;
  SetProperty(exports, name, function);
}

}  // namespace

void AddFunction(const Napi::Object &object, const char *name, napi_callback callback, Handle *handle) {
  napi_env env = object.Env();
  napi_value function = nullptr;
  if (napi_create_function(env, name, NAPI_AUTO_LENGTH, callback, handle, &function) != napi_ok) return;
  const auto release = [](napi_env ending, void *data, void *) { static_cast<Handle *>(data)->Release(ending); };
  if (napi_add_finalizer(env, function, handle, release, nullptr, nullptr) != napi_ok) return;
  handle->Retain();
  SetProperty(object, name, function);
}

Napi::Value CloseHandle(const Napi::CallbackInfo &info) {
  HandleOf<Handle>(info)->Close(info.Env());
  return Result(info, 0);
}

Napi::Value NewMapping(const Napi::CallbackInfo &info, MappingTable *table, Ref<Memory> memory) {
  uint64_t id = 0;
  napi_value array_buffer = nullptr;
  const int rc = table->Add(info.Env(), std::move(memory), &id, &array_buffer);
  if (rc < 0) return Result(info, rc);
  const Napi::Object result = Napi::Object::New(info.Env());
  SetProperty(result, "id", Result(info, static_cast<double>(id)));
  SetProperty(result, "buffer", array_buffer);
  return result;
}

Napi::Object Init(Napi::Env env, Napi::Object exports) {
  auto *const environment = new Environment;
  env.SetInstanceData(environment);
  napi_env raw = env;
  env.AddCleanupHook([raw, environment] { environment->End(raw); });
  Export(exports, "open", Call<OpenPrivcmd>);
  Export(exports, "openEvtchn", Call<OpenEvtchn>);
  Export(exports, "openGrants", Call<OpenGrants>);
  Export(exports, "openNat", Call<OpenNat>);
  Export(exports, "checksumSum", NetChecksumSum);
  Export(exports, "classifyPackets", NetClassifyPackets);
  Export(exports, "openEsp", Call<OpenEsp>);
  Export(exports, "openXenbus", Call<OpenXenbus>);
  Export(exports, "openPacketSocket", Call<OpenPacketSocket>);
  Export(exports, "openTap", Call<OpenTap>);
  Export(exports, "readNetFeatures", Call<ReadNetFeatures>);
  Export(exports, "writeNetFeatures", Call<WriteNetFeatures>);
  Export(exports, "netInterfaceIndex", Call<ReadNetInterfaceIndex>);
  Export(exports, "netInterfaceName", Call<ReadNetInterfaceName>);
  Export(exports, "peerIsIn", Call<ReadPeerIsIn>);
  Export(exports, "vethPeerIndex", Call<ReadVethPeerIndex>);
  SetProperty(exports, "abi", Napi::Number::New(env, kAbi));
  return exports;
}

NODE_API_MODULE(xenctrl, Init)

}  // namespace xenctrl
