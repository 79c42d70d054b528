// Work in another network namespace.
#pragma once

#include <functional>
#include <string>

namespace xenctrl {

/// Runs `work` in the network namespace at `path`, on a thread of its own, since a thread cannot always come back.
/// Empty: here and now. What `work` gave, or -errno.
int InNetworkNamespace(const std::string &path, const std::function<int()> &work);

}  // namespace xenctrl
