// The mappings that a handle has open, by number.
#pragma once

#include <node_api.h>

#include "external_buffer.h"
#include "id_table.h"

namespace xenctrl {

class MappingTable {
 public:
  bool full() const { return mappings_.full(); }

  /// Makes an ArrayBuffer of the memory and takes it in: 0, or -errno. The caller has looked at full().
  int Add(napi_env env, Ref<Memory> memory, uint64_t *id, napi_value *array_buffer);

  /// Detaches a mapping. False when there is none by that number (any more).
  bool Close(napi_env env, uint64_t id);

  /// Detaches all.
  void CloseAll(napi_env env);

  /// Lets each live as long as its ArrayBuffer does.
  void AbandonAll(napi_env env);

 private:
  IdTable<Ref<ExternalBuffer>> mappings_;
};

}  // namespace xenctrl
