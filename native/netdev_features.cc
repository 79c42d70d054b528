// Features of interfaces by SIOCETHTOOL: what `ethtool -k` shows and `ethtool -K` sets.

#include <linux/ethtool.h>
#include <linux/sockios.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include <cstring>

#include "netdev.h"
#include "netns.h"

namespace xenctrl {
namespace {

/// More than any kernel has.
constexpr uint32_t kMostFeatures = 4096;

/// A command of ethtool's that goes on behind its structure.
template <typename Command, typename Element>
class Variable {
 public:
  Variable(uint32_t cmd, size_t elements) : words_((sizeof(Command) + elements * sizeof(Element) + 7) / 8) {
    head()->cmd = cmd;
  }
  Command *head() { return reinterpret_cast<Command *>(words_.data()); }
  Element *elements() { return reinterpret_cast<Element *>(head() + 1); }

 private:
  std::vector<uint64_t> words_;
};

class Ethtool {
 public:
  Ethtool(int fd, const std::string &name) : fd_(fd), name_(name) {}

  int Do(void *command) const {
    ifreq request{};
    if (name_.empty() || name_.size() >= sizeof(request.ifr_name)) return -EINVAL;
    memcpy(request.ifr_name, name_.data(), name_.size());
    request.ifr_data = static_cast<char *>(command);
    const int rc = ioctl(fd_, SIOCETHTOOL, &request);
    return rc < 0 ? -errno : rc;
  }

  /// How many features this kernel knows.
  int Count(uint32_t *count) const {
    Variable<ethtool_sset_info, uint32_t> info(ETHTOOL_GSSET_INFO, 1);
    info.head()->sset_mask = uint64_t{1} << ETH_SS_FEATURES;
    const int rc = Do(info.head());
    if (rc < 0) return rc;
    *count = info.head()->sset_mask == 0 ? 0 : *info.elements();
    return *count == 0 || *count > kMostFeatures ? -EOPNOTSUPP : 0;
  }

 private:
  const int fd_;
  const std::string &name_;
};

/// ETHTOOL_GSTATS: how many numbers there are is in the driver's information.
int ReadPeer(const Ethtool &ethtool) {
  ethtool_drvinfo driver{};
  driver.cmd = ETHTOOL_GDRVINFO;
  const int rc = ethtool.Do(&driver);
  if (rc < 0) return rc;
  // the first of veth's numbers has been its peer's since they are
  if (strncmp(driver.driver, "veth", sizeof(driver.driver)) != 0 || driver.n_stats == 0) return -EOPNOTSUPP;
  if (driver.n_stats > kMostFeatures) return -EOPNOTSUPP;
  Variable<ethtool_gstrings, char[ETH_GSTRING_LEN]> names(ETHTOOL_GSTRINGS, driver.n_stats);
  names.head()->string_set = ETH_SS_STATS;
  names.head()->len = driver.n_stats;
  int result = ethtool.Do(names.head());
  if (result < 0) return result;
  Variable<ethtool_stats, uint64_t> numbers(ETHTOOL_GSTATS, driver.n_stats);
  numbers.head()->n_stats = driver.n_stats;
  result = ethtool.Do(numbers.head());
  if (result < 0) return result;
  if (strncmp(names.elements()[0], "peer_ifindex", ETH_GSTRING_LEN) != 0) return -EOPNOTSUPP;
  return static_cast<int>(numbers.elements()[0]);
}

size_t WordsFor(uint32_t features) { return (features + 31) / 32; }

int Read(const Ethtool &ethtool, NetFeatures *features) {
  uint32_t count = 0;
  int rc = ethtool.Count(&count);
  if (rc < 0) return rc;
  Variable<ethtool_gstrings, char[ETH_GSTRING_LEN]> names(ETHTOOL_GSTRINGS, count);
  names.head()->string_set = ETH_SS_FEATURES;
  names.head()->len = count;
  rc = ethtool.Do(names.head());
  if (rc < 0) return rc;
  Variable<ethtool_gfeatures, ethtool_get_features_block> blocks(ETHTOOL_GFEATURES, WordsFor(count));
  blocks.head()->size = static_cast<uint32_t>(WordsFor(count));
  rc = ethtool.Do(blocks.head());
  if (rc < 0) return rc;
  for (uint32_t i = 0; i < count; i++) {
    const char *const name = names.elements()[i];
    features->names.emplace_back(name, strnlen(name, ETH_GSTRING_LEN));
  }
  for (size_t i = 0; i < WordsFor(count); i++) {
    const ethtool_get_features_block &block = blocks.elements()[i];
    features->words.push_back({block.available, block.requested, block.active, block.never_changed});
  }
  ethtool_drvinfo driver{};
  driver.cmd = ETHTOOL_GDRVINFO;
  if (ethtool.Do(&driver) >= 0) features->driver.assign(driver.driver, strnlen(driver.driver, sizeof(driver.driver)));
  return 0;
}

int Write(const Ethtool &ethtool, const uint32_t *valid, const uint32_t *requested, size_t words) {
  uint32_t count = 0;
  const int rc = ethtool.Count(&count);
  if (rc < 0) return rc;
  if (words != WordsFor(count)) return -EINVAL;
  Variable<ethtool_sfeatures, ethtool_set_features_block> blocks(ETHTOOL_SFEATURES, words);
  blocks.head()->size = static_cast<uint32_t>(words);
  for (size_t i = 0; i < words; i++) blocks.elements()[i] = {valid[i], requested[i]};
  return ethtool.Do(blocks.head());
}

template <typename Work>
int WithEthtool(const NetInterface &interface, Work work) {
  return InNetworkNamespace(interface.netns, [&] {
    int error = 0;
    const auto any = Descriptor::Checked(socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0), &error);
    if (!any) return error;
    return work(Ethtool(any.get(), interface.name));
  });
}

}  // namespace

int ReadNetFeatures(const NetInterface &interface, NetFeatures *features) {
  return WithEthtool(interface, [&](const Ethtool &ethtool) { return Read(ethtool, features); });
}

int WriteNetFeatures(const NetInterface &interface, const uint32_t *valid, const uint32_t *requested, size_t words) {
  return WithEthtool(interface, [&](const Ethtool &ethtool) { return Write(ethtool, valid, requested, words); });
}

int VethPeerIndex(const NetInterface &interface) {
  return WithEthtool(interface, [](const Ethtool &ethtool) { return ReadPeer(ethtool); });
}

int NetInterfaceIndex(const NetInterface &interface) {
  return InNetworkNamespace(interface.netns, [&] {
    const unsigned index = if_nametoindex(interface.name.c_str());
    return index == 0 ? -errno : static_cast<int>(index);
  });
}

int NetInterfaceName(uint32_t index, const std::string &netns, std::string *name) {
  return InNetworkNamespace(netns, [&] {
    char found[IF_NAMESIZE] = {};
    if (!if_indextoname(index, found)) return -errno;
    *name = found;
    return 0;
  });
}

}  // namespace xenctrl
