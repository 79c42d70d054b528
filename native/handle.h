// What JavaScript holds of one open device, and what an environment (the main thread, or a worker) holds of all.
#pragma once

#include <node_api.h>

#include <set>

#include "external_buffer.h"
#include "id_table.h"
#include "privcmd.h"

namespace xenctrl {

class Environment;

/// Reached from JavaScript only through functions made for it, each of which keeps it alive. Used on the environment's
/// own thread only; work on other threads holds the device, not the handle.
class Handle {
 public:
  Handle(Environment *environment, Ref<Privcmd> device);
  Handle(const Handle &) = delete;
  Handle &operator=(const Handle &) = delete;

  /// Null once the handle is closed.
  const Ref<Privcmd> &device() const { return device_; }
  void SetArena(Ref<ExternalBuffer> arena) { arena_ = std::move(arena); }

  bool MappingsFull() const { return mappings_.full(); }
  /// Takes a mapping into the table. Its number.
  uint64_t AddMapping(Ref<ExternalBuffer> mapping);
  /// False when there is no such mapping (any more).
  bool CloseMapping(napi_env env, uint64_t id);

  /// Detaches the arena and all mappings. The device closes when no call in flight uses it any more. Twice is harmless.
  void Close(napi_env env);
  /// As Close(), when no JavaScript runs any more.
  void EndWithEnvironment(napi_env env);

  void Retain() { functions_++; }
  /// Called as a function of the handle is collected; after the last one nobody can reach it.
  void Release(napi_env env);

 private:
  friend class Environment;
  ~Handle();

  Environment *environment_;
  Ref<Privcmd> device_;
  Ref<ExternalBuffer> arena_;
  IdTable<Ref<ExternalBuffer>> mappings_;
  unsigned functions_ = 0;
};

class Environment {
 public:
  Environment() = default;
  ~Environment();
  Environment(const Environment &) = delete;
  Environment &operator=(const Environment &) = delete;

  void Add(Handle *handle) { handles_.insert(handle); }
  void Remove(Handle *handle) { handles_.erase(handle); }

  /// The environment ends (a worker is terminated, say): everything it has open is closed.
  void End(napi_env env);

 private:
  std::set<Handle *> handles_;
};

}  // namespace xenctrl
