// Which network namespace the other end of a cable is in, by rtnetlink: numbers of interfaces mean nothing between
// namespaces.

#include <linux/net_namespace.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include <cstring>

#include "netdev.h"
#include "netns.h"

namespace xenctrl {
namespace {

constexpr size_t kAnswer = 16384;

/// One question of rtnetlink's and its answer.
template <typename Body>
struct Question {
  nlmsghdr header{};
  Body body{};
  alignas(NLMSG_ALIGNTO) uint8_t attributes[16]{};
};

/// Sends a question and finds an attribute of 32 bits in the answer; `value` stays as it is when there is none.
template <typename Body>
int Ask(Question<Body> *question, size_t attribute_bytes, uint16_t wanted, int32_t *value) {
  int error = 0;
  const auto route = Descriptor::Checked(socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE), &error);
  if (!route) return error;
  question->header.nlmsg_len = static_cast<uint32_t>(NLMSG_LENGTH(sizeof(Body)) + attribute_bytes);
  question->header.nlmsg_flags = NLM_F_REQUEST;
  if (send(route.get(), question, question->header.nlmsg_len, 0) < 0) return -errno;
  alignas(nlmsghdr) uint8_t answer[kAnswer];
  const ssize_t size = recv(route.get(), answer, sizeof(answer), 0);
  if (size < 0) return -errno;
  nlmsghdr header;
  if (static_cast<size_t>(size) < sizeof(header)) return -EPROTO;
  memcpy(&header, answer, sizeof(header));
  if (header.nlmsg_len > static_cast<size_t>(size)) return -EPROTO;
  if (header.nlmsg_type == NLMSG_ERROR) {
    nlmsgerr refusal;
    if (header.nlmsg_len < NLMSG_LENGTH(sizeof(refusal))) return -EPROTO;
    memcpy(&refusal, answer + NLMSG_HDRLEN, sizeof(refusal));
    return refusal.error;
  }
  size_t at = NLMSG_LENGTH(NLMSG_ALIGN(sizeof(Body)));
  rtattr attribute;
  while (at + sizeof(attribute) <= header.nlmsg_len) {
    memcpy(&attribute, answer + at, sizeof(attribute));
    if (attribute.rta_len < sizeof(attribute) || at + attribute.rta_len > header.nlmsg_len) return -EPROTO;
    if ((attribute.rta_type & NLA_TYPE_MASK) == wanted && attribute.rta_len >= RTA_LENGTH(sizeof(*value))) {
      memcpy(value, answer + at + RTA_LENGTH(0), sizeof(*value));
    }
    at += RTA_ALIGN(attribute.rta_len);
  }
  return 0;
}

/// The number by which this namespace knows that of the interface's other end; -1: it is this one.
int LinkNetns(const std::string &name, int32_t *id) {
  const unsigned index = if_nametoindex(name.c_str());
  if (index == 0) return -errno;
  Question<ifinfomsg> question;
  question.header.nlmsg_type = RTM_GETLINK;
  question.body.ifi_index = static_cast<int>(index);
  *id = -1;
  return Ask(&question, 0, IFLA_LINK_NETNSID, id);
}

/// The number by which this namespace knows another; -1: it does not.
int NetnsNumber(int netns, int32_t *id) {
  Question<rtgenmsg> question;
  question.header.nlmsg_type = RTM_GETNSID;
  rtattr attribute{};
  attribute.rta_type = NETNSA_FD;
  attribute.rta_len = RTA_LENGTH(sizeof(uint32_t));
  // the body is padded to the next four bytes
  auto *const start = reinterpret_cast<uint8_t *>(&question) + NLMSG_LENGTH(NLMSG_ALIGN(sizeof(rtgenmsg)));
  const auto fd = static_cast<uint32_t>(netns);
  memcpy(start, &attribute, sizeof(attribute));
  memcpy(start + RTA_LENGTH(0), &fd, sizeof(fd));
  *id = -1;
  const size_t padding = NLMSG_ALIGN(sizeof(rtgenmsg)) - sizeof(rtgenmsg);
  return Ask(&question, padding + RTA_LENGTH(sizeof(fd)), NETNSA_NSID, id);
}

/// Whether a namespace is the one that this thread is in.
bool IsHere(int netns) {
  struct statx given {};
  struct statx here {};
  // statx, not stat: that one is a symbol of glibc 2.33 when the addon is linked on a newer system
  if (statx(netns, "", AT_EMPTY_PATH, STATX_INO, &given) != 0) return false;
  if (statx(AT_FDCWD, "/proc/thread-self/ns/net", 0, STATX_INO, &here) != 0) return false;
  return given.stx_ino == here.stx_ino && given.stx_dev_major == here.stx_dev_major &&
         given.stx_dev_minor == here.stx_dev_minor;
}

}  // namespace

int PeerIsIn(const NetInterface &interface, const std::string &place) {
  int error = 0;
  const char *const path = place.empty() ? "/proc/self/ns/net" : place.c_str();
  const auto netns = Descriptor::Checked(open(path, O_RDONLY | O_CLOEXEC), &error);
  if (!netns) return error;
  return InNetworkNamespace(interface.netns, [&] {
    int32_t link = -1;
    int rc = LinkNetns(interface.name, &link);
    if (rc < 0) return rc;
    if (link < 0) return IsHere(netns.get()) ? 1 : 0;
    int32_t number = -1;
    rc = NetnsNumber(netns.get(), &number);
    if (rc < 0) return rc;
    return number == link ? 1 : 0;
  });
}

}  // namespace xenctrl
