#include "mapping_table.h"

#include <cerrno>
#include <utility>

namespace xenctrl {

int MappingTable::Add(napi_env env, Ref<Memory> memory, uint64_t *id, napi_value *array_buffer) {
  napi_status status = napi_ok;
  auto buffer = ExternalBuffer::Create(env, std::move(memory), array_buffer, &status);
  if (!buffer) return status == napi_no_external_buffers_allowed ? -ENOTSUP : -ENOMEM;
  ExternalBuffer *const made = buffer.get();
  const uint64_t place = mappings_.Insert(std::move(buffer));
  made->OnCollected([this, place] {
    Ref<ExternalBuffer> gone;
    mappings_.Take(place, &gone);
  });
  *id = place;
  return 0;
}

bool MappingTable::Close(napi_env env, uint64_t id) {
  Ref<ExternalBuffer> mapping;
  if (!mappings_.Take(id, &mapping)) return false;
  mapping->Detach(env);
  return true;
}

void MappingTable::CloseAll(napi_env env) {
  mappings_.TakeAll([env](const Ref<ExternalBuffer> &mapping) { mapping->Detach(env); });
}

void MappingTable::AbandonAll(napi_env env) {
  mappings_.TakeAll([env](const Ref<ExternalBuffer> &mapping) { mapping->LeaveToCollector(env); });
}

}  // namespace xenctrl
