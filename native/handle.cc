#include "handle.h"

#include <utility>

namespace xenctrl {

Handle::Handle(Environment *environment, Ref<Privcmd> device) : environment_(environment), device_(std::move(device)) {
  environment_->Add(this);
}

Handle::~Handle() {
  if (environment_) environment_->Remove(this);
}

uint64_t Handle::AddMapping(Ref<ExternalBuffer> mapping) {
  ExternalBuffer *const buffer = mapping.get();
  const uint64_t id = mappings_.Insert(std::move(mapping));
  buffer->OnCollected([this, id] {
    Ref<ExternalBuffer> gone;
    mappings_.Take(id, &gone);
  });
  return id;
}

bool Handle::CloseMapping(napi_env env, uint64_t id) {
  Ref<ExternalBuffer> mapping;
  if (!mappings_.Take(id, &mapping)) return false;
  mapping->Detach(env);
  return true;
}

void Handle::Close(napi_env env) {
  mappings_.TakeAll([env](const Ref<ExternalBuffer> &mapping) { mapping->Detach(env); });
  if (arena_) arena_->Detach(env);
  arena_ = {};
  device_ = {};
}

void Handle::EndWithEnvironment(napi_env env) {
  mappings_.TakeAll([env](const Ref<ExternalBuffer> &mapping) { mapping->LeaveToCollector(env); });
  if (arena_) arena_->LeaveToCollector(env);
  arena_ = {};
  device_ = {};
}

void Handle::Release(napi_env env) {
  if (--functions_ != 0) return;
  EndWithEnvironment(env);  // a buffer may still be in use, though nothing else of the handle is
  delete this;
}

void Environment::End(napi_env env) {
  for (Handle *handle : handles_) handle->EndWithEnvironment(env);
}

Environment::~Environment() {
  for (Handle *handle : handles_) {
    handle->environment_ = nullptr;
    if (handle->functions_ == 0) delete handle;  // the environment ended before any could be made
  }
}

}  // namespace xenctrl
