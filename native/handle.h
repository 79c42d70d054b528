// What JavaScript holds of something open, and what an environment (the main thread, or a worker) holds of all that.
#pragma once

#include <node_api.h>

#include <set>

namespace xenctrl {

class Environment;

/// Reached from JavaScript only through functions made for it, each of which keeps it alive. Used on the environment's
/// own thread only; work on other threads holds the device, not the handle.
class Handle {
 public:
  Handle(const Handle &) = delete;
  Handle &operator=(const Handle &) = delete;

  /// Lets go of all it has open, and cuts JavaScript's views off. Twice is harmless.
  virtual void Close(napi_env env) = 0;
  /// As Close(), when no JavaScript runs any more, or when nobody can reach the handle: buffers may still be in use.
  virtual void Abandon(napi_env env) = 0;

  void Retain() { functions_++; }
  /// Called as a function of the handle is collected; after the last one nobody can reach it.
  void Release(napi_env env);

 protected:
  explicit Handle(Environment *environment);
  virtual ~Handle();

 private:
  friend class Environment;
  Environment *environment_;
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
