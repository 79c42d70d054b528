// The packets of a buffer, one after the other. Those of the most frequent kind do not pass through the general parser.

#include <algorithm>
#include <cerrno>

#include "checksum.h"
#include "nat.h"

namespace xenctrl {
namespace {

/// Numbers of a packet as this machine reads them: sums may be of those as well, for their halves only change places.
uint32_t Load16(const uint8_t *bytes) {
  uint16_t word;
  memcpy(&word, bytes, sizeof word);
  return word;
}

uint32_t Load32(const uint8_t *bytes) {
  uint32_t word;
  memcpy(&word, bytes, sizeof word);
  return word;
}

uint64_t Load64(const uint8_t *bytes) {
  uint64_t word;
  memcpy(&word, bytes, sizeof word);
  return word;
}

void Store16(uint8_t *bytes, uint32_t value) {
  const auto word = static_cast<uint16_t>(value);
  memcpy(bytes, &word, sizeof word);
}

/// A number that Load16() would give when it is in network byte order.
constexpr uint32_t Net16(uint32_t number) { return SwapSum(number); }

}  // namespace

int Nat::Translate(uint8_t *bytes, size_t length, const PacketPlace *places, const double *seconds, size_t count,
                   uint8_t *states, uint8_t *outcomes, NatCounters *counters) {
  const auto find = [=](size_t i) {
    return i < count && places[i].offset <= length && places[i].length <= length - places[i].offset;
  };
  return TranslateFound(bytes, length, find, places, seconds, states, outcomes, counters) == count ? 0 : -EINVAL;
}

size_t Nat::TranslatePcap(uint8_t *bytes, size_t length, PcapRecords *records, size_t capacity, PacketPlace *places,
                          double *seconds, uint32_t *nanoseconds, uint8_t *states, uint8_t *outcomes,
                          NatCounters *counters) {
  // a copy: the compiler sees that no packet is a part of it
  PcapRecords next = *records;
  const auto find = [=, &next](size_t i) {
    if (i == capacity || !next.Next(bytes, length, &places[i], &seconds[i], &nanoseconds[i])) return false;
    states[i] = kStateUnknown;
    return true;
  };
  const size_t count = TranslateFound(bytes, length, find, places, seconds, states, outcomes, counters);
  *records = next;
  return count;
}

/// Translates one packet after the other until `find` says of its number that there is none, and gives how many there
/// were. Packets are found a group ahead: while one is worked on, memory answers for the next.
template <typename Find>
size_t Nat::TranslateFound(uint8_t *bytes, size_t length, Find find, const PacketPlace *places, const double *seconds,
                           uint8_t *states, uint8_t *outcomes, NatCounters *counters) {
  constexpr size_t kGroup = 16;
  Common commons[kGroup];
  size_t found = 0;
  uint32_t common_ones = 0;
  uint32_t partial = 0;
  bool more = true;
  const auto find_one = [&] {
    more = more && find(found);
    if (more) PrefetchAhead(bytes, length, places[found++]);
  };
  for (size_t k = 0; k < kGroup; k++) find_one();
  for (size_t first = 0; first < found;) {
    const size_t group = std::min(kGroup, found - first);
    for (size_t k = 0; k < group; k++) {
      const PacketPlace &place = places[first + k];
      Common &common = commons[k];
      if (ReadCommon(bytes + place.offset, place.length, place.link_type, &common)) {
        table_.PrefetchBucket(common.hash);
      } else {
        common.ip = nullptr;
      }
    }
    for (size_t k = 0; k < group; k++) {
      Common &common = commons[k];
      if (common.ip) common.connection = table_.PrefetchConnection(common.hash, &common.direction);
    }
    for (size_t k = 0; k < group; k++) {
      const size_t i = first + k;
      find_one();
      if (commons[k].ip && TranslateCommon(commons[k], seconds[i], &states[i])) {
        common_ones++;
        partial += states[i] == static_cast<uint8_t>(ChecksumState::kPartial) ? 1 : 0;
        outcomes[i] = static_cast<uint8_t>(NatOutcome::kTranslated);
        continue;
      }
      Packet packet;
      const Verdict verdict = packet.Parse(bytes + places[i].offset, places[i].length, places[i].link_type);
      if (states[i] == kStateUnknown) states[i] = static_cast<uint8_t>(packet.Classify());
      const bool blank = states[i] == static_cast<uint8_t>(ChecksumState::kPartial);
      outcomes[i] = static_cast<uint8_t>(TranslateOne(&packet, seconds[i], blank));
      counters->verdicts[static_cast<size_t>(verdict)]++;
      counters->outcomes[outcomes[i]]++;
      partial += blank ? 1 : 0;
      if (blank && options_.finish != 0) packet.Finish();
    }
    first += group;
  }
  counters->verdicts[static_cast<size_t>(Verdict::kOk)] += common_ones;
  counters->outcomes[static_cast<size_t>(NatOutcome::kTranslated)] += common_ones;
  counters->partial += partial;
  return found;
}

inline bool Nat::ReadCommon(uint8_t *frame, size_t length, uint32_t link_type, Common *common) const {
  constexpr size_t kEthernet = 14;
  constexpr size_t kTcpHeader = 20;
  constexpr size_t kUdpHeader = 8;
  if (link_type != 1 || length < kEthernet + 28 || Load16(frame + 12) != Net16(0x0800)) return false;
  uint8_t *const ip = frame + kEthernet;
  uint8_t *const l4 = ip + 20;
  // 1 or 0, and arithmetic: which of them comes next no processor foresees, so nothing may branch on it
  const size_t udp = ip[9] == kUdp ? 1 : 0;
  const size_t tcp = ip[9] == kTcp ? 1 : 0;
  const size_t total = Read16(ip + 2);
  const size_t least = kTcpHeader - udp * (kTcpHeader - kUdpHeader);
  const bool whole = (Load16(ip + 6) & Net16(0x3fff)) == 0;
  if (ip[0] != 0x45 || !whole || (udp | tcp) == 0 || total < 20 + least || total > length - kEthernet) {
    return false;
  }
  // UDP says how long it is, TCP how long its header is
  const size_t there = total - 20;
  const size_t udp_length = Read16(l4 + 4) * udp;
  const size_t tcp_header = (size_t{l4[12 * tcp]} >> 4) * 4 * tcp;
  const size_t said = udp_length + tcp_header;
  if (said < least || said > there) return false;
  common->ip = ip;
  common->udp = static_cast<uint32_t>(udp);
  common->l4_length = static_cast<uint32_t>(udp_length + there * tcp);
  common->addresses = Load64(ip + 12);
  common->rest = Conntrack::Ipv4Rest(Load32(l4), ip[9]);
  common->hash = table_.HashIpv4(common->addresses, common->rest);
  return true;
}

/// Does what Classify(), TranslateOne() and Finish() do to such a packet of a known connection, in one go. False:
/// nothing was done, for it needs more than that. Sums are of words as this machine reads them.
inline bool Nat::TranslateCommon(const Common &common, double now, uint8_t *state) {
  if (!common.connection) return false;
  Connection &connection = *common.connection;
  const Direction direction = common.direction;
  if (!Conntrack::IsIpv4(connection, direction, common.addresses, common.rest, now)) return false;
  uint8_t *const ip = common.ip;
  uint8_t *const l4 = ip + 20;
  const size_t udp = common.udp;
  uint8_t *const field = l4 + 16 - 10 * udp;
  const uint32_t check = Load16(field);
  const uint32_t header_check = Load16(ip + 10);
  if (header_check == 0 || check < udp) return false;  // of UDP, 0 is none

  uint32_t sum = 0;
  if (*state == kStateUnknown) {
    const uint64_t addresses = (common.addresses & 0xffffffff) + (common.addresses >> 32);
    const uint64_t header = addresses + Load32(ip) + Load32(ip + 4) + Load32(ip + 8);
    if (FoldSum(header) != 0xffff) return false;
    sum = SumManyWords(l4, common.l4_length);
    const uint32_t pseudo = FoldSum(addresses + Net16(ip[9]) + Net16(common.l4_length));
    const bool good = FoldSum32(sum + pseudo) == 0xffff;
    const auto known = good              ? ChecksumState::kGood
                       : check == pseudo ? ChecksumState::kPartial
                                         : ChecksumState::kCorrupt;
    *state = static_cast<uint8_t>(known);
  }
  const bool blank = *state == static_cast<uint8_t>(ChecksumState::kPartial);
  // told that it is partial, nothing was summed up
  if (blank && (sum == 0 || options_.historic != 0)) return false;

  const size_t tcp = udp ^ 1;
  Touch(&connection, direction, kUdpTimes * udp, static_cast<uint8_t>(l4[13 * tcp] * tcp), now);
  const uint32_t address_gain = connection.address_gain[direction];
  const uint32_t port_gain = connection.port_gain[direction];
  const Tuple &answer = connection.tuple[direction ^ 1];
  memcpy(ip + 12, answer.destination, 4);
  memcpy(ip + 16, answer.source, 4);
  memcpy(l4, answer.ports + 2, 2);
  memcpy(l4 + 2, answer.ports, 2);
  Store16(ip + 10, Not(FoldSum32(Not(header_check) + address_gain)));
  uint32_t after = 0;
  if (!blank) {
    after = Not(FoldSum32(Not(check) + port_gain + address_gain));
    if (udp != 0 && after == 0) after = 0xffff;
  } else if (options_.finish != 0) {
    after = Not(FoldSum32(sum + port_gain + address_gain));
    if (after == 0) after = 0xffff;
  } else {
    after = FoldSum32(check + address_gain);
  }
  Store16(field, after);
  return true;
}

}  // namespace xenctrl
