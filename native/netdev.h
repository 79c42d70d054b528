// Network interfaces from user space: packet sockets and TAP devices whose frames carry a virtio_net_hdr, and what an
// interface leaves to its device. Nothing of Node. Results are >= 0, or -errno.
#pragma once

#include <linux/if_packet.h>
#include <net/if.h>

#include <array>
#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "descriptor.h"
#include "ref.h"

namespace xenctrl {

/// An interface by its name, in the network namespace at a path (/run/netns/NAME); empty: this one.
struct NetInterface {
  std::string name;
  std::string netns;
};

/// Where a frame to send lies, its virtio_net_hdr in front.
struct NetPlace {
  uint32_t offset;
  uint32_t length;
};

/// What is told of a received frame.
struct NetFrame {
  /// With the virtio_net_hdr; more than a slot has when it was cut off.
  int32_t length;
  /// TP_STATUS_... of linux/if_packet.h; 0 from a TAP device.
  int32_t status;
  /// Tag control information, if the status says that there is one: the kernel takes the tag out of the frame.
  int32_t vlan_tci;
  /// PACKET_... of linux/if_packet.h: to us, to others, sent by ourselves.
  int32_t packet_type;
};

class NetDevice : public Counted {
 public:
  /// Most frames that one call takes or gives.
  static constexpr size_t kBatch = 64;
  static constexpr size_t kHeader = 10;

  struct PacketOptions {
    /// Frames that this machine sends out of the interface, too.
    bool outgoing;
    bool promiscuous;
    /// Bytes that the kernel keeps for us: SO_RCVBUF. 0: its default.
    uint32_t receive_buffer;
  };
  struct TapOptions {
    /// TUN_F_...: what the kernel may leave undone in the frames that it gives.
    uint32_t offload;
    bool up;
  };

  /// Null when it fails; `error` then is -errno.
  static Ref<NetDevice> OpenPacket(const NetInterface &interface, const PacketOptions &options, int *error);
  static Ref<NetDevice> OpenTap(const NetInterface &interface, const TapOptions &options, int *error);

  int fd() const { return file_.get(); }
  /// Of a TAP device the kernel may have chosen it.
  const std::string &name() const { return name_; }
  uint32_t mtu() const { return mtu_; }
  const std::array<uint8_t, 6> &mac() const { return mac_; }

  /// Takes what has come, each frame into a slot of its own. The number of frames; -EAGAIN: none.
  int64_t Receive(uint8_t *bytes, size_t slot_size, size_t slots, NetFrame *frames) const;
  /// Sends frames in their order. How many it was; the error of the first, if none. -EAGAIN: there is no room.
  int64_t Send(uint8_t *bytes, const NetPlace *places, size_t count) const;
  /// Frames that came, and that were dropped because nobody took them, since it was last asked. -EOPNOTSUPP: a TAP.
  int Statistics(uint32_t *packets, uint32_t *drops) const;

 private:
  NetDevice(Descriptor file, bool packet, const ifreq &name)
      : file_(std::move(file)), packet_(packet), name_(name.ifr_name) {}
  int Look(int any_socket);
  int64_t ReceivePackets(uint8_t *bytes, size_t slot_size, size_t slots, NetFrame *frames) const;
  int64_t ReceiveTap(uint8_t *bytes, size_t slot_size, size_t slots, NetFrame *frames) const;
  int64_t SendPackets(uint8_t *bytes, const NetPlace *places, size_t count) const;
  int64_t SendTap(const uint8_t *bytes, const NetPlace *places, size_t count) const;

  const Descriptor file_;
  const bool packet_;
  std::string name_;
  uint32_t mtu_ = 0;
  std::array<uint8_t, 6> mac_{};
};

/// What an interface's features are called, and which are changeable, wanted, on and fixed: a bit each, in words.
struct NetFeatures {
  struct Words {
    uint32_t available;
    uint32_t requested;
    uint32_t active;
    uint32_t never_changed;
  };
  std::vector<std::string> names;
  std::vector<Words> words;
  std::string driver;
};

int ReadNetFeatures(const NetInterface &interface, NetFeatures *features);

/// Changes the features whose bits are in `valid` to what they are in `requested`. ETHTOOL_F_..., or -errno.
int WriteNetFeatures(const NetInterface &interface, const uint32_t *valid, const uint32_t *requested, size_t words);

/// The number of the interface, and that of the other end of a veth pair. -EOPNOTSUPP: it is none.
int NetInterfaceIndex(const NetInterface &interface);
int VethPeerIndex(const NetInterface &interface);

/// Whether the other end of a cable is in the namespace at `place` (empty: this one): 1 or 0.
int PeerIsIn(const NetInterface &interface, const std::string &place);

/// The name of the interface that has this number in a namespace.
int NetInterfaceName(uint32_t index, const std::string &netns, std::string *name);

}  // namespace xenctrl
