#include "netns.h"

#include <sched.h>
#include <uv.h>

#include "descriptor.h"

namespace xenctrl {
namespace {

struct Errand {
  int netns;
  const std::function<int()> *work;
  int result;
};

void Run(void *data) {
  auto *const errand = static_cast<Errand *>(data);
  errand->result = setns(errand->netns, CLONE_NEWNET) == 0 ? (*errand->work)() : -errno;
}

}  // namespace

int InNetworkNamespace(const std::string &path, const std::function<int()> &work) {
  if (path.empty()) return work();
  int error = 0;
  const Descriptor netns = Descriptor::Checked(open(path.c_str(), O_RDONLY | O_CLOEXEC), &error);
  if (!netns) return error;
  Errand errand{netns.get(), &work, 0};
  uv_thread_t thread{};
  const int rc = uv_thread_create(&thread, Run, &errand);
  if (rc != 0) return rc;
  uv_thread_join(&thread);
  return errand.result;
}

}  // namespace xenctrl
