// A listener that Node's event loop calls while a file can be read.
#pragma once

#include <node_api.h>
#include <uv.h>

namespace xenctrl {

/// Lives on the environment's thread. Once closed it frees itself, as soon as the event loop lets go of it.
class Poller {
 public:
  /// Makes one and puts it at `owner`, where it takes itself away when it closes: by Close(), which the owner calls
  /// before it closes the file or goes itself, or because the environment ends. 0, or -errno.
  static int Start(napi_env env, int fd, napi_value listener, Poller **owner);

  /// Ends the calls; the file may be closed at once.
  void Close();

 private:
  Poller(napi_env env, Poller **owner) : env_(env), owner_(owner) {}
  bool Prepare(napi_value listener);
  void Forget();
  void Call();

  const napi_env env_;
  Poller **owner_;  // null: it is closing
  uv_poll_t poll_{};
  napi_ref listener_ = nullptr;
  napi_async_context context_ = nullptr;
  napi_async_cleanup_hook_handle hook_ = nullptr;
};

}  // namespace xenctrl
