// A view of a packet, what its checksum is worth, and completing it: src/net/packet.ts and src/net/state.ts once more,
// for many packets in one call. The tests hold the two against each other.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>

namespace xenctrl {

/// The order of VERDICTS in src/net/packet.ts.
enum class Verdict : uint8_t {
  kOk,
  kNotIp,
  kLinkType,
  kLinkHeader,
  kVlanDepth,
  kIpVersion,
  kIpv4Header,
  kIpv4Length,
  kIpv6Header,
  kIpv6Length,
  kIpv6Extensions,
  kJumbogram,
  kFragmentRange,
  kTcpHeader,
  kUdpHeader,
  kUdpLength,
  kIcmpHeader,
  kCount,
};

/// The order of CHECKSUM_STATES in src/net/state.ts.
enum class ChecksumState : uint8_t { kGood, kPartial, kCorrupt, kNone, kOther, kCount };

constexpr int kIcmp = 1;
constexpr int kTcp = 6;
constexpr int kUdp = 17;
constexpr int kIcmpv6 = 58;

inline uint32_t Read16(const uint8_t *bytes) { return uint32_t{bytes[0]} << 8 | bytes[1]; }
inline uint32_t Read32(const uint8_t *bytes) { return Read16(bytes) << 16 | Read16(bytes + 2); }
inline void Write16(uint8_t *bytes, uint32_t value) {
  bytes[0] = static_cast<uint8_t>(value >> 8);
  bytes[1] = static_cast<uint8_t>(value);
}

struct Packet {
  /// Parses a frame. On any verdict but kOk only what comes before the trouble is set.
  Verdict Parse(uint8_t *frame, size_t length, uint32_t link_type);
  /// Parses the packet that an ICMP error quotes, of which 8 bytes after the IP header suffice.
  Verdict ParseQuoted(const Packet &outer);

  ChecksumState Classify();
  /// Completes a checksum that is known to be partial; false where that cannot be done.
  bool Finish() const;

  /// The IPv4 header's checksum is 0 and should not be: it was left to a device.
  bool Ipv4HeaderBlank() const;

  bool has_offload() const { return protocol == kTcp || protocol == kUdp; }
  uint8_t *at(size_t offset) const { return bytes + offset; }

  Verdict verdict = Verdict::kNotIp;
  uint8_t *bytes = nullptr;
  /// Offsets are from `bytes`. Where the frame ends.
  size_t end = 0;
  uint32_t link_type = 0;
  int version = 0;
  size_t ip = 0;
  size_t ip_end = 0;
  int protocol = -1;
  size_t addresses = 0;
  size_t address_length = 0;
  bool fragment = false;
  bool more_fragments = false;
  bool routed = false;
  size_t fragment_offset = 0;
  uint32_t fragment_id = 0;
  size_t l4 = 0;
  size_t l4_length = 0;
  /// The sum over them once Classify() needed it; 0 before. Whoever changes them has it follow.
  uint32_t l4_sum = 0;
  /// 0: there is none, for no checksum is where a frame begins.
  size_t check_at = 0;
  int source_port = -1;
  int destination_port = -1;
  int icmp_type = -1;
  int icmp_id = -1;
  /// 0: the packet quotes none.
  size_t quoted = 0;

 private:
  Verdict Link();
  Verdict OfEtherType(uint32_t ether_type, size_t offset);
  Verdict Ip(size_t offset, bool is_quoted);
  Verdict Ipv4(size_t offset, bool is_quoted);
  Verdict Ipv6(size_t offset, bool is_quoted);
  Verdict Payload(size_t offset, size_t fragment_at, bool more, bool is_quoted);
  Verdict Tcp(bool is_quoted);
  Verdict Udp(bool is_quoted);
  Verdict Icmp(bool is_quoted);
  void Ports();
  uint32_t PseudoHeader() const;
  bool Ipv4HeaderGood() const;
};

/// Where a packet lies in a buffer and how it begins. An element of the arrays that TypeScript gives.
struct PacketPlace {
  uint32_t offset;
  uint32_t length;
  uint32_t link_type;
};

/// Where the next record of a pcap begins (src/net/capture/pcap.ts), and how to read it.
struct PcapRecords {
  static constexpr size_t kHeader = 16;
  /// As src/net/capture/format.ts has it.
  static constexpr uint32_t kMaxLength = 16 << 20;

  size_t at;
  uint32_t link_type;
  /// Its numbers are in the other byte order.
  bool swapped;
  /// Nanoseconds.
  uint32_t tick;

  /// False: the rest is no record, or not all of one.
  bool Next(const uint8_t *bytes, size_t length, PacketPlace *place, double *second, uint32_t *nanosecond) {
    if (at > length || length - at < kHeader) return false;
    const uint32_t size = Number(bytes + at + 8);
    if (size > kMaxLength || size > length - at - kHeader) return false;
    *place = {static_cast<uint32_t>(at + kHeader), size, link_type};
    *second = Number(bytes + at);
    *nanosecond = Number(bytes + at + 4) * tick;
    at += kHeader + size;
    return true;
  }

 private:
  uint32_t Number(const uint8_t *from) const {
    uint32_t number;
    memcpy(&number, from, sizeof number);
    return swapped ? __builtin_bswap32(number) : number;
  }
};

/// Has the processor fetch the header of the record behind a packet, and what lies some packets further on: as many
/// lines for every packet as one has on average, for not even their number is to be foreseen.
inline void PrefetchAhead(const uint8_t *bytes, size_t length, const PacketPlace &place) {
  constexpr size_t kLine = 64;
  constexpr size_t kLines = 6;
  constexpr size_t kAhead = 8 << 10;
  const size_t left = length - place.offset;
  const uint8_t *const start = bytes + place.offset;
  if (place.length < left) __builtin_prefetch(start + place.length);
  if (left < kAhead + kLines * kLine) return;
  for (size_t i = 0; i < kLines; i++) __builtin_prefetch(start + kAhead + i * kLine);
}

/// Classifies packets of a buffer, and completes those that are partial if `finish`.
///
/// @param states a ChecksumState for each packet, as it was before
/// @param verdicts counters, one for each Verdict
/// @return 0, or -EINVAL at the first place that is not in the buffer
int ClassifyPackets(uint8_t *bytes, size_t length, const PacketPlace *places, size_t count, bool finish,
                    uint8_t *states, uint32_t *verdicts);

}  // namespace xenctrl
