#include "handle.h"

namespace xenctrl {

Handle::Handle(Environment *environment) : environment_(environment) { environment_->Add(this); }

Handle::~Handle() {
  if (environment_) environment_->Remove(this);
}

void Handle::Release(napi_env env) {
  if (--functions_ != 0) return;
  Abandon(env);
  delete this;
}

void Environment::End(napi_env env) {
  for (Handle *handle : handles_) handle->Abandon(env);
}

Environment::~Environment() {
  for (Handle *handle : handles_) {
    handle->environment_ = nullptr;
    if (handle->functions_ == 0) delete handle;  // the environment ended before any could be made
  }
}

}  // namespace xenctrl
