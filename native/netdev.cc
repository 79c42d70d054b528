#include "netdev.h"

#include <arpa/inet.h>
#include <linux/if_ether.h>
#include <linux/if_tun.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include <algorithm>
#include <cstring>

#include "netns.h"

namespace xenctrl {
namespace {

// Of headers that are newer than what we are built on.
constexpr int kPacketIgnoreOutgoing = 23;

int SetOption(int fd, int level, int option, int value) {
  return setsockopt(fd, level, option, &value, sizeof(value)) == 0 ? 0 : -errno;
}

bool FillName(const std::string &name, ifreq *request) {
  memset(request, 0, sizeof(*request));
  if (name.size() >= sizeof(request->ifr_name)) return false;
  memcpy(request->ifr_name, name.data(), name.size());
  return true;
}

int Ioctl(int fd, unsigned long request, void *argument) { return ioctl(fd, request, argument) < 0 ? -errno : 0; }

int BindPacketSocket(int fd, ifreq *request, const NetDevice::PacketOptions &options) {
  int rc = Ioctl(fd, SIOCGIFINDEX, request);
  if (rc < 0) return rc;
  rc = SetOption(fd, SOL_PACKET, PACKET_VNET_HDR, 1);
  if (rc == 0) rc = SetOption(fd, SOL_PACKET, PACKET_AUXDATA, 1);
  // before Linux 4.20 one's own frames come back, and the caller finds them by their type
  if (rc == 0 && !options.outgoing) (void)SetOption(fd, SOL_PACKET, kPacketIgnoreOutgoing, 1);
  // root may have more than the limit of the others
  if (rc == 0 && options.receive_buffer != 0) {
    const int size = static_cast<int>(std::min(options.receive_buffer, uint32_t{INT32_MAX / 2}));
    if (SetOption(fd, SOL_SOCKET, SO_RCVBUFFORCE, size) != 0) rc = SetOption(fd, SOL_SOCKET, SO_RCVBUF, size);
  }
  if (rc == 0 && options.promiscuous) {
    packet_mreq membership{};
    membership.mr_ifindex = request->ifr_ifindex;
    membership.mr_type = PACKET_MR_PROMISC;
    if (setsockopt(fd, SOL_PACKET, PACKET_ADD_MEMBERSHIP, &membership, sizeof(membership)) != 0) rc = -errno;
  }
  if (rc < 0) return rc;
  sockaddr_ll address{};
  address.sll_family = AF_PACKET;
  address.sll_protocol = htons(ETH_P_ALL);
  address.sll_ifindex = request->ifr_ifindex;
  return bind(fd, reinterpret_cast<sockaddr *>(&address), sizeof(address)) == 0 ? 0 : -errno;
}

int SetUpTap(int fd, int any_socket, ifreq *request, const NetDevice::TapOptions &options) {
  request->ifr_flags = IFF_TAP | IFF_NO_PI | IFF_VNET_HDR;
  int rc = Ioctl(fd, TUNSETIFF, request);
  int header = NetDevice::kHeader;
  if (rc == 0) rc = Ioctl(fd, TUNSETVNETHDRSZ, &header);
  if (rc == 0 && ioctl(fd, TUNSETOFFLOAD, static_cast<unsigned long>(options.offload)) < 0) rc = -errno;
  if (rc < 0 || !options.up) return rc;
  rc = Ioctl(any_socket, SIOCGIFFLAGS, request);
  if (rc < 0) return rc;
  request->ifr_flags = static_cast<short>(request->ifr_flags | IFF_UP);
  return Ioctl(any_socket, SIOCSIFFLAGS, request);
}

Descriptor AnySocket(int *error) { return Descriptor::Checked(socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0), error); }

}  // namespace

Ref<NetDevice> NetDevice::OpenPacket(const NetInterface &interface, const PacketOptions &options, int *error) {
  ifreq request;
  *error = -EINVAL;
  if (interface.name.empty() || !FillName(interface.name, &request)) return {};
  Ref<NetDevice> device;
  *error = InNetworkNamespace(interface.netns, [&] {
    int rc = 0;
    // no protocol yet: nothing comes before it is bound
    auto file = Descriptor::Checked(socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, 0), &rc);
    if (!file) return rc;
    ifreq bound = request;
    rc = BindPacketSocket(file.get(), &bound, options);
    if (rc < 0) return rc;
    device = Ref<NetDevice>(new NetDevice(std::move(file), true, request));
    return device->Look(device->fd());
  });
  return *error < 0 ? Ref<NetDevice>() : device;
}

Ref<NetDevice> NetDevice::OpenTap(const NetInterface &interface, const TapOptions &options, int *error) {
  ifreq request;
  *error = -EINVAL;
  if (!FillName(interface.name, &request)) return {};
  Ref<NetDevice> device;
  *error = InNetworkNamespace(interface.netns, [&] {
    int rc = 0;
    auto file = Descriptor::Open("/dev/net/tun", O_NONBLOCK, &rc);
    if (!file) return rc;
    const auto any = AnySocket(&rc);
    if (!any) return rc;
    rc = SetUpTap(file.get(), any.get(), &request, options);
    if (rc < 0) return rc;
    device = Ref<NetDevice>(new NetDevice(std::move(file), false, request));
    return device->Look(any.get());
  });
  return *error < 0 ? Ref<NetDevice>() : device;
}

int NetDevice::Look(int any_socket) {
  ifreq request;
  FillName(name_, &request);
  int rc = Ioctl(any_socket, SIOCGIFHWADDR, &request);
  if (rc < 0) return rc;
  memcpy(mac_.data(), request.ifr_hwaddr.sa_data, mac_.size());
  rc = Ioctl(any_socket, SIOCGIFMTU, &request);
  if (rc < 0) return rc;
  mtu_ = static_cast<uint32_t>(request.ifr_mtu);
  return 0;
}

int64_t NetDevice::Receive(uint8_t *bytes, size_t slot_size, size_t slots, NetFrame *frames) const {
  slots = std::min(slots, kBatch);
  if (slots == 0 || slot_size <= kHeader) return -EINVAL;
  return packet_ ? ReceivePackets(bytes, slot_size, slots, frames) : ReceiveTap(bytes, slot_size, slots, frames);
}

int64_t NetDevice::ReceivePackets(uint8_t *bytes, size_t slot_size, size_t slots, NetFrame *frames) const {
  struct Control {
    alignas(cmsghdr) uint8_t bytes[CMSG_SPACE(sizeof(tpacket_auxdata))];
  };
  mmsghdr messages[kBatch];
  iovec pieces[kBatch];
  sockaddr_ll sources[kBatch];
  Control controls[kBatch];
  for (size_t i = 0; i < slots; i++) {
    pieces[i] = {bytes + i * slot_size, slot_size};
    msghdr &header = messages[i].msg_hdr;
    header = {};
    header.msg_iov = &pieces[i];
    header.msg_iovlen = 1;
    header.msg_name = &sources[i];
    header.msg_namelen = sizeof(sources[i]);
    header.msg_control = controls[i].bytes;
    header.msg_controllen = sizeof(controls[i].bytes);
  }
  // MSG_TRUNC: the length as it was, also of what did not fit
  const int count = recvmmsg(fd(), messages, static_cast<unsigned>(slots), MSG_DONTWAIT | MSG_TRUNC, nullptr);
  if (count < 0) return -errno;
  for (int i = 0; i < count; i++) {
    NetFrame &frame = frames[i];
    frame = {static_cast<int32_t>(messages[i].msg_len), 0, 0, sources[i].sll_pkttype};
    const cmsghdr *const control = CMSG_FIRSTHDR(&messages[i].msg_hdr);
    if (!control || control->cmsg_level != SOL_PACKET || control->cmsg_type != PACKET_AUXDATA) continue;
    tpacket_auxdata aux;
    memcpy(&aux, CMSG_DATA(control), sizeof(aux));
    frame.status = static_cast<int32_t>(aux.tp_status);
    frame.vlan_tci = aux.tp_vlan_tci;
  }
  return count;
}

int64_t NetDevice::ReceiveTap(uint8_t *bytes, size_t slot_size, size_t slots, NetFrame *frames) const {
  size_t count = 0;
  for (; count < slots; count++) {
    const ssize_t size = read(fd(), bytes + count * slot_size, slot_size);
    if (size < 0) break;
    frames[count] = {static_cast<int32_t>(size), 0, 0, PACKET_HOST};
  }
  return count > 0 ? static_cast<int64_t>(count) : -errno;
}

int64_t NetDevice::Send(uint8_t *bytes, const NetPlace *places, size_t count) const {
  count = std::min(count, kBatch);
  if (count == 0) return 0;
  return packet_ ? SendPackets(bytes, places, count) : SendTap(bytes, places, count);
}

int64_t NetDevice::SendPackets(uint8_t *bytes, const NetPlace *places, size_t count) const {
  mmsghdr messages[kBatch];
  iovec pieces[kBatch];
  for (size_t i = 0; i < count; i++) {
    pieces[i] = {bytes + places[i].offset, places[i].length};
    messages[i].msg_hdr = {};
    messages[i].msg_hdr.msg_iov = &pieces[i];
    messages[i].msg_hdr.msg_iovlen = 1;
  }
  const int sent = sendmmsg(fd(), messages, static_cast<unsigned>(count), MSG_DONTWAIT);
  return sent < 0 ? -errno : sent;
}

int64_t NetDevice::SendTap(const uint8_t *bytes, const NetPlace *places, size_t count) const {
  size_t sent = 0;
  for (; sent < count; sent++) {
    if (write(fd(), bytes + places[sent].offset, places[sent].length) < 0) break;
  }
  return sent > 0 ? static_cast<int64_t>(sent) : -errno;
}

int NetDevice::Statistics(uint32_t *packets, uint32_t *drops) const {
  if (!packet_) return -EOPNOTSUPP;
  tpacket_stats statistics{};
  socklen_t size = sizeof(statistics);
  if (getsockopt(fd(), SOL_PACKET, PACKET_STATISTICS, &statistics, &size) != 0) return -errno;
  *packets = statistics.tp_packets;
  *drops = statistics.tp_drops;
  return 0;
}

}  // namespace xenctrl
