#include "external_buffer.h"

namespace xenctrl {

Ref<ExternalBuffer> ExternalBuffer::Create(napi_env env, Ref<Memory> memory, napi_value *array_buffer,
                                           napi_status *status) {
  Ref<ExternalBuffer> buffer(new ExternalBuffer);
  buffer->memory_ = std::move(memory);
  auto *const for_finalizer = new Ref<ExternalBuffer>(buffer);
  napi_value bytes = nullptr;
  *status = napi_create_external_buffer(env, buffer->memory_->size(), buffer->memory_->base(), Finalize, for_finalizer,
                                        &bytes);
  // Refused before anything was made: then no finalizer comes. After a generic failure one may, or may not; rather lose
  // these few bytes than free them twice.
  if (!bytes && *status != napi_ok && *status != napi_generic_failure) delete for_finalizer;
  if (*status == napi_ok) {
    *status = napi_get_typedarray_info(env, bytes, nullptr, nullptr, nullptr, array_buffer, nullptr);
  }
  if (*status == napi_ok) *status = napi_create_reference(env, *array_buffer, 0, &buffer->reference_);
  if (*status == napi_ok) return buffer;
  buffer->memory_ = {};  // no JavaScript has seen it
  return {};
}

void ExternalBuffer::Finalize(napi_env env, void * /*data*/, void *hint) {
  auto *const owner = static_cast<Ref<ExternalBuffer> *>(hint);
  const Ref<ExternalBuffer> buffer = std::move(*owner);
  delete owner;
  buffer->memory_ = {};
  buffer->DropReference(env);
  const auto callback = std::move(buffer->on_collected_);
  buffer->on_collected_ = nullptr;
  if (callback) callback();
}

void ExternalBuffer::Detach(napi_env env) {
  on_collected_ = nullptr;
  if (!reference_) return;
  napi_value array_buffer = nullptr;
  bool detached = true;
  napi_get_reference_value(env, reference_, &array_buffer);
  if (array_buffer) napi_is_detached_arraybuffer(env, array_buffer, &detached);
  // Detached by somebody else: another buffer has the contents now, and only the finalizer knows when it is gone.
  if (!detached && napi_detach_arraybuffer(env, array_buffer) == napi_ok) memory_ = {};
  DropReference(env);
}

void ExternalBuffer::LeaveToCollector(napi_env env) {
  on_collected_ = nullptr;
  DropReference(env);
}

void ExternalBuffer::DropReference(napi_env env) {
  if (reference_) napi_delete_reference(env, reference_);
  reference_ = nullptr;
}

}  // namespace xenctrl
