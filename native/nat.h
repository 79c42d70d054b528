// Network address translation: src/net/nat/ once more, for many packets in one call. The tests hold the two against
// each other, to the last bit.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "conntrack.h"
#include "packet.h"

namespace xenctrl {

/// A rule as TypeScript encodes it (src/net/nat/rules.ts). Numbers of two bytes are in network byte order.
struct NatRule {
  uint8_t kind;
  uint8_t version;
  /// 0: any.
  uint8_t protocol;
  /// Of the addresses, from the front.
  uint8_t source_bits;
  uint8_t destination_bits;
  uint8_t zero[3];
  /// Destination ports, both ends included; 0 and 0: any.
  uint8_t port_min[2];
  uint8_t port_max[2];
  /// What ports become; 0 and 0: the rules of before say.
  uint8_t to_min[2];
  uint8_t to_max[2];
  uint8_t source[16];
  uint8_t destination[16];
  uint8_t to[16];
};
static_assert(sizeof(NatRule) == 64, "as rules.ts has it");

constexpr uint8_t kSourceNat = 1;
constexpr uint8_t kDestinationNat = 2;
constexpr size_t kMaxNatRules = 256;

/// The order of NAT_OUTCOMES in src/net/nat/outcome.ts.
enum class NatOutcome : uint8_t {
  kUntouched,
  kTranslated,
  kRefused,
  kNoPort,
  kTableFull,
  kFragment,
  kUnsupported,
  kCount
};

/// What a state may be before: told, or to be found out.
constexpr uint8_t kStateUnknown = 255;

/// Packets: an element of the array that TypeScript gives each.
struct NatCounters {
  double verdicts[static_cast<size_t>(Verdict::kCount)];
  double outcomes[static_cast<size_t>(NatOutcome::kCount)];
  /// Whose checksum was partial.
  double partial;
};

struct NatOptions {
  double seed;
  double max_connections;
  /// Ports chosen as Linux 2.6.12 did, instead of as it does today.
  double old_ports;
  /// The patch of 2005-10-14, which takes ports for a part of the pseudo-header.
  double historic;
  /// Whether partial checksums are completed.
  double finish;
  /// Seconds: TCP opening, established, closing, reset; UDP first and answered; the same of ICMP, and of all others.
  double timeouts[10];
};

enum TcpState : uint8_t { kOpening, kEstablished, kClosing, kReset };
constexpr uint8_t kFin = 1;
constexpr uint8_t kSyn = 2;
constexpr uint8_t kRst = 4;
constexpr uint8_t kAck = 16;

/// Where each protocol's timeouts begin in NatOptions.
constexpr size_t kTcpTimes = 0;
constexpr size_t kUdpTimes = 4;
constexpr size_t kIcmpTimes = 6;
constexpr size_t kOtherTimes = 8;

class Nat {
 public:
  Nat(const NatRule *rules, size_t count, const NatOptions &options);

  /// Translates packets of a buffer.
  ///
  /// @param seconds when each came
  /// @param states a ChecksumState or kStateUnknown for each, which becomes what it was
  /// @param outcomes a NatOutcome for each
  /// @param counters added to
  /// @return 0, or -EINVAL at the first place that is not in the buffer
  int Translate(uint8_t *bytes, size_t length, const PacketPlace *places, const double *seconds, size_t count,
                uint8_t *states, uint8_t *outcomes, NatCounters *counters);

  /// Finds packets of a pcap and translates them: those of which all is there, up to `capacity`.
  ///
  /// @param places filled in, as `seconds`, `nanoseconds` and `states` are
  /// @return how many
  size_t TranslatePcap(uint8_t *bytes, size_t length, PcapRecords *records, size_t capacity, PacketPlace *places,
                       double *seconds, uint32_t *nanoseconds, uint8_t *states, uint8_t *outcomes,
                       NatCounters *counters);

  size_t connections() const { return table_.count(); }

 private:
  /// The addresses of a packet whose later fragments are still to come.
  struct Fragments {
    Tuple key;
    uint8_t addresses[32];
    double expires;
  };
  static constexpr size_t kFragmentSlots = 1024;

  /// A packet of the most frequent kind: TCP or UDP over IPv4 without options, in Ethernet, whole.
  struct Common {
    /// Null: it is none.
    uint8_t *ip;
    /// Its tuple, as Conntrack::IsIpv4() takes it.
    uint64_t addresses;
    uint64_t rest;
    /// Probably; null: it has none yet.
    Connection *connection;
    Direction direction;
    /// 1, or 0: TCP.
    uint32_t udp;
    uint32_t l4_length;
    uint32_t hash;
  };

  template <typename Find>
  size_t TranslateFound(uint8_t *bytes, size_t length, Find find, const PacketPlace *places, const double *seconds,
                        uint8_t *states, uint8_t *outcomes, NatCounters *counters);
  bool ReadCommon(uint8_t *frame, size_t length, uint32_t link_type, Common *common) const;
  bool TranslateCommon(const Common &common, double now, uint8_t *state);
  NatOutcome TranslateOne(Packet *packet, double now, bool blank);
  NatOutcome TranslateError(Packet *packet, double now);
  NatOutcome TranslateFragment(Packet *packet, double now);
  void RememberFragments(const Packet &packet, const Tuple &target, double now);
  NatOutcome NewConnection(const Packet &packet, const Tuple &tuple, double now, Connection **made);
  const NatRule *Match(uint8_t kind, const Tuple &tuple) const;
  bool ChoosePort(const NatRule &rule, Tuple *target, double now);
  bool TryPorts(Tuple *target, uint8_t *port, uint32_t min, uint32_t size, uint32_t tries, uint16_t *offset,
                double now);
  bool IsFree(const Tuple &target, double now);
  uint16_t Random();
  void Touch(Connection *connection, Direction direction, size_t times, uint8_t flags, double now) const;
  void Rewrite(Packet *packet, const Tuple &target, bool blank) const;

  std::vector<NatRule> rules_;
  NatOptions options_;
  Conntrack table_;
  std::vector<Fragments> fragments_;
  uint32_t random_;
  /// Where the search of 2005 goes on, for each protocol.
  uint16_t counters_[256] = {};
};

/// `flags` are TCP's, and 0 of every other protocol.
inline void Nat::Touch(Connection *connection, Direction direction, size_t times, uint8_t flags, double now) const {
  uint8_t &state = connection->state;
  if (flags & kRst) {
    state = kReset;
  } else if (flags & kFin) {
    state = kClosing;
  } else if ((flags & (kSyn | kAck)) == kSyn && state >= kClosing) {
    state = kOpening;
  } else if (direction == kReply && state == kOpening) {
    // what is not TCP is answered
    state = kEstablished;
  }
  connection->expires = now + options_.timeouts[times + state];
}

}  // namespace xenctrl
