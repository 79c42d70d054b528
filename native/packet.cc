#include "packet.h"

#include <algorithm>
#include <cerrno>

#include "checksum.h"

namespace xenctrl {
namespace {

constexpr uint32_t kLinkEthernet = 1;
constexpr uint32_t kLinkRaw = 101;
constexpr uint32_t kLinkLinuxSll = 113;
constexpr uint32_t kLinkIpv4 = 228;
constexpr uint32_t kLinkIpv6 = 229;
constexpr uint32_t kLinkLinuxSll2 = 276;

constexpr uint32_t kEtherTypeIpv4 = 0x0800;
constexpr uint32_t kEtherTypeIpv6 = 0x86dd;
constexpr int kMaxVlans = 4;

constexpr int kHopByHop = 0;
constexpr int kRouting = 43;
constexpr int kFragment = 44;
constexpr int kDestination = 60;
constexpr int kMaxExtensions = 8;

bool IsVlan(uint32_t ether_type) { return ether_type == 0x8100 || ether_type == 0x88a8 || ether_type == 0x9100; }

bool IsExtension(int protocol) {
  return protocol == kHopByHop || protocol == kRouting || protocol == kFragment || protocol == kDestination;
}

}  // namespace

Verdict Packet::Parse(uint8_t *frame, size_t length, uint32_t link) {
  *this = Packet();
  bytes = frame;
  end = length;
  link_type = link;
  verdict = Link();
  return verdict;
}

Verdict Packet::ParseQuoted(const Packet &outer) {
  *this = Packet();
  bytes = outer.bytes;
  end = outer.ip_end;
  link_type = outer.link_type;
  verdict = outer.quoted == 0 ? Verdict::kNotIp : Ip(outer.quoted, true);
  return verdict;
}

Verdict Packet::Link() {
  switch (link_type) {
    case kLinkEthernet: {
      size_t offset = 14;
      if (offset > end) return Verdict::kLinkHeader;
      uint32_t ether_type = Read16(at(offset - 2));
      for (int vlans = 1; IsVlan(ether_type); vlans++) {
        if (vlans > kMaxVlans) return Verdict::kVlanDepth;
        offset += 4;
        if (offset > end) return Verdict::kLinkHeader;
        ether_type = Read16(at(offset - 2));
      }
      return OfEtherType(ether_type, offset);
    }
    case kLinkRaw:
    case kLinkIpv4:
    case kLinkIpv6:
      return Ip(0, false);
    case kLinkLinuxSll:
      return end < 16 ? Verdict::kLinkHeader : OfEtherType(Read16(at(14)), 16);
    case kLinkLinuxSll2:
      return end < 20 ? Verdict::kLinkHeader : OfEtherType(Read16(at(0)), 20);
    default:
      return Verdict::kLinkType;
  }
}

Verdict Packet::OfEtherType(uint32_t ether_type, size_t offset) {
  const bool ipv4 = ether_type == kEtherTypeIpv4;
  if (!ipv4 && ether_type != kEtherTypeIpv6) return Verdict::kNotIp;
  if (offset >= end) return ipv4 ? Verdict::kIpv4Header : Verdict::kIpv6Header;
  if (*at(offset) >> 4 != (ipv4 ? 4 : 6)) return Verdict::kIpVersion;
  return Ip(offset, false);
}

Verdict Packet::Ip(size_t offset, bool is_quoted) {
  ip = offset;
  if (offset >= end) return Verdict::kIpVersion;
  const int four_or_six = *at(offset) >> 4;
  if (four_or_six == 4 && link_type != kLinkIpv6) return Ipv4(offset, is_quoted);
  return four_or_six == 6 && link_type != kLinkIpv4 ? Ipv6(offset, is_quoted) : Verdict::kIpVersion;
}

Verdict Packet::Ipv4(size_t offset, bool is_quoted) {
  const size_t there = end - offset;
  const size_t header = (*at(offset) & size_t{15}) * 4;
  if (header < 20 || there < header) return Verdict::kIpv4Header;
  const size_t total = Read16(at(offset + 2));
  if (total < header || (total > there && !is_quoted)) return Verdict::kIpv4Length;
  version = 4;
  ip_end = offset + std::min(total, there);
  protocol = *at(offset + 9);
  addresses = offset + 12;
  address_length = 4;
  const uint32_t field = Read16(at(offset + 6));
  fragment_id = Read16(at(offset + 4));
  return Payload(offset + header, (field & size_t{0x1fff}) * 8, (field & 0x2000) != 0, is_quoted);
}

Verdict Packet::Ipv6(size_t offset, bool is_quoted) {
  const size_t there = end - offset;
  if (there < 40) return Verdict::kIpv6Header;
  const size_t length = Read16(at(offset + 4));
  int next = *at(offset + 6);
  if (length == 0 && next == kHopByHop) return Verdict::kJumbogram;
  if (length + 40 > there && !is_quoted) return Verdict::kIpv6Length;
  version = 6;
  ip_end = offset + std::min(length + 40, there);
  addresses = offset + 8;
  address_length = 16;
  size_t fragment_at = 0;
  bool more = false;
  size_t header = offset + 40;
  for (int count = 0; IsExtension(next); count++) {
    if (count == kMaxExtensions || header + 8 > ip_end) return Verdict::kIpv6Extensions;
    const size_t size = next == kFragment ? 8 : (*at(header + 1) + size_t{1}) * 8;
    if (header + size > ip_end) return Verdict::kIpv6Extensions;
    if (next == kRouting && *at(header + 3) != 0) routed = true;
    if (next == kFragment) {
      const uint32_t field = Read16(at(header + 2));
      fragment_at = field & 0xfff8;
      more = (field & 1) != 0;
      fragment_id = Read32(at(header + 4));
    }
    next = *at(header);
    header += size;
    // what follows in a later fragment is data, whatever it looks like
    if (fragment_at != 0) break;
  }
  protocol = next;
  return Payload(header, fragment_at, more, is_quoted);
}

Verdict Packet::Payload(size_t offset, size_t fragment_at, bool more, bool is_quoted) {
  l4 = offset;
  l4_length = ip_end - offset;
  fragment_offset = fragment_at;
  more_fragments = more;
  fragment = more || fragment_at != 0;
  if (fragment_at + l4_length > 0xffff) return Verdict::kFragmentRange;
  if (fragment_at != 0) return Verdict::kOk;
  switch (protocol) {
    case kTcp:
      return Tcp(is_quoted);
    case kUdp:
      return Udp(is_quoted);
    case kIcmp:
      return version == 4 ? Icmp(is_quoted) : Verdict::kOk;
    case kIcmpv6:
      return version == 6 ? Icmp(is_quoted) : Verdict::kOk;
    default:
      return Verdict::kOk;
  }
}

Verdict Packet::Tcp(bool is_quoted) {
  if (l4_length < (is_quoted ? 8U : 20U)) return Verdict::kTcpHeader;
  if (l4_length >= 20) {
    const size_t header = (*at(l4 + 12) >> 4) * size_t{4};
    if (!is_quoted && (header < 20 || header > l4_length)) return Verdict::kTcpHeader;
    check_at = l4 + 16;
  }
  Ports();
  return Verdict::kOk;
}

Verdict Packet::Udp(bool is_quoted) {
  if (l4_length < 8) return Verdict::kUdpHeader;
  const size_t length = Read16(at(l4 + 4));
  // a first fragment has the length of the whole
  if (length < 8 || (length > l4_length && !is_quoted && !more_fragments)) return Verdict::kUdpLength;
  l4_length = std::min(length, l4_length);
  check_at = l4 + 6;
  Ports();
  return Verdict::kOk;
}

void Packet::Ports() {
  source_port = static_cast<int>(Read16(at(l4)));
  destination_port = static_cast<int>(Read16(at(l4 + 2)));
}

Verdict Packet::Icmp(bool is_quoted) {
  if (l4_length < 8) return Verdict::kIcmpHeader;
  const int type = *at(l4);
  icmp_type = type;
  check_at = l4 + 2;
  const bool has_id = version == 4 ? type == 0 || type == 8 || (type >= 13 && type <= 18) : type == 128 || type == 129;
  const bool is_error = version == 4 ? (type >= 3 && type <= 5) || type == 11 || type == 12 : type >= 1 && type <= 4;
  if (has_id) icmp_id = static_cast<int>(Read16(at(l4 + 4)));
  if (is_error && !is_quoted) quoted = l4 + 8;
  return Verdict::kOk;
}

uint32_t Packet::PseudoHeader() const {
  const uint32_t size = static_cast<uint32_t>(l4_length);
  const uint32_t rest = static_cast<uint32_t>(protocol) + (size & 0xffff) + (size >> 16);
  if (address_length == 4) {
    const uint8_t *const words = at(addresses);
    return FoldSum(uint64_t{Read32(words)} + Read32(words + 4) + rest);
  }
  return ChecksumSum(at(addresses), 32, rest);
}

bool Packet::Ipv4HeaderGood() const {
  if (version != 4) return true;
  if (*at(ip) == 0x45) {
    uint64_t sum = 0;
    for (size_t i = 0; i < 20; i += 4) sum += Read32(at(ip + i));
    return FoldSum(sum) == 0xffff;
  }
  return SumWords(at(ip), (*at(ip) & size_t{15}) * 4) == 0xffff;
}

bool Packet::Ipv4HeaderBlank() const { return version == 4 && Read16(at(ip + 10)) == 0 && !Ipv4HeaderGood(); }

ChecksumState Packet::Classify() {
  if (verdict != Verdict::kOk) return ChecksumState::kOther;
  if (!Ipv4HeaderGood() && !Ipv4HeaderBlank()) return ChecksumState::kCorrupt;
  if (fragment) return ChecksumState::kNone;
  if (check_at == 0 || routed) return ChecksumState::kOther;
  const uint32_t check = Read16(at(check_at));
  if (protocol == kUdp && check == 0) return ChecksumState::kNone;
  const uint32_t pseudo = protocol == kIcmp ? 0 : PseudoHeader();
  l4_sum = ChecksumSum(at(l4), l4_length, 0);
  if (FoldSum(uint64_t{l4_sum} + pseudo) == 0xffff) return ChecksumState::kGood;
  return check == pseudo && has_offload() ? ChecksumState::kPartial : ChecksumState::kCorrupt;
}

bool Packet::Finish() const {
  if (verdict != Verdict::kOk || check_at == 0 || fragment || !has_offload()) return false;
  const uint32_t check = ~(l4_sum != 0 ? l4_sum : ChecksumSum(at(l4), l4_length, 0)) & 0xffff;
  // 0 says "no checksum" in UDP; both are zero in one's complement
  Write16(at(check_at), check == 0 ? 0xffff : check);
  return true;
}

int ClassifyPackets(uint8_t *bytes, size_t length, const PacketPlace *places, size_t count, bool finish,
                    uint8_t *states, uint32_t *verdicts) {
  Packet packet;
  for (size_t i = 0; i < count; i++) {
    const PacketPlace place = places[i];
    if (place.offset > length || place.length > length - place.offset) return -EINVAL;
    PrefetchAhead(bytes, length, place);
    verdicts[static_cast<size_t>(packet.Parse(bytes + place.offset, place.length, place.link_type))]++;
    const ChecksumState state = packet.Classify();
    states[i] = static_cast<uint8_t>(state);
    if (finish && state == ChecksumState::kPartial) packet.Finish();
  }
  return 0;
}

}  // namespace xenctrl
