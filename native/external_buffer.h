// Memory of ours that JavaScript sees as an ArrayBuffer.
#pragma once

#include <node_api.h>

#include <functional>
#include <utility>

#include "memory.h"
#include "ref.h"

namespace xenctrl {

/// The memory stays mapped as long as JavaScript can reach it: until Detach(), or, when the ArrayBuffer's contents
/// were transferred away before that, until the collector has found the last buffer that has them.
class ExternalBuffer : public Counted {
 public:
  /// Makes the ArrayBuffer. Null, and a status, when Node will not.
  static Ref<ExternalBuffer> Create(napi_env env, Ref<Memory> memory, napi_value *array_buffer, napi_status *status);

  /// Cuts the ArrayBuffer and all its views off and lets go of the memory.
  void Detach(napi_env env);

  /// Lets the memory live as long as the ArrayBuffer does.
  void LeaveToCollector(napi_env env);

  /// `callback` runs when the collector takes the buffer before Detach() or LeaveToCollector() was called.
  void OnCollected(std::function<void()> callback) { on_collected_ = std::move(callback); }

 private:
  ExternalBuffer() = default;
  static void Finalize(napi_env env, void *data, void *hint);
  void DropReference(napi_env env);

  Ref<Memory> memory_;
  napi_ref reference_ = nullptr;  // weak
  std::function<void()> on_collected_;
};

}  // namespace xenctrl
