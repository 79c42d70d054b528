// What is done to one packet: src/net/nat/engine.ts once more. Many of them are nat_many.cc's, ports nat_ports.cc's.

#include "nat.h"

#include <algorithm>

#include "checksum.h"

namespace xenctrl {
namespace {

constexpr int kUdpLite = 136;
constexpr int kDccp = 33;
constexpr int kAuthentication = 51;

/// Seconds that the rest of a packet may take.
constexpr double kFragmentTimeout = 30;

bool HasPorts(const Packet &packet) { return packet.source_port >= 0; }

bool IsRequest(const Packet &packet) {
  const int type = packet.icmp_type;
  return packet.version == 4 ? type == 8 || type == 13 || type == 15 || type == 17 : type == 128;
}

/// The tuple of a packet that belongs to a connection by itself.
bool TupleOf(const Packet &packet, Tuple *tuple) {
  *tuple = Tuple();
  if (packet.protocol < 0 || packet.fragment_offset != 0) return false;
  memcpy(tuple->source, packet.at(packet.addresses), packet.address_length);
  memcpy(tuple->destination, packet.at(packet.addresses + packet.address_length), packet.address_length);
  tuple->protocol = static_cast<uint8_t>(packet.protocol);
  tuple->version = static_cast<uint8_t>(packet.version);
  if (HasPorts(packet)) {
    memcpy(tuple->ports, packet.at(packet.l4), 4);
  } else if (packet.icmp_id >= 0) {
    memcpy(tuple->ports, packet.at(packet.l4 + 4), 2);
    memcpy(tuple->ports + 2, packet.at(packet.l4 + 4), 2);
  } else if (packet.icmp_type >= 0) {
    return false;
  }
  return true;
}

bool InPrefix(const uint8_t *address, const uint8_t *prefix, unsigned bits) {
  const size_t whole = bits / 8;
  if (memcmp(address, prefix, whole) != 0) return false;
  const unsigned rest = bits % 8;
  return rest == 0 || ((address[whole] ^ prefix[whole]) >> (8 - rest)) == 0;
}

/// Checksums that cover addresses in a way that is not known here, and packets that may not be changed.
bool IsSupported(const Packet &packet) {
  return packet.protocol != kUdpLite && packet.protocol != kDccp && packet.protocol != kAuthentication &&
         !packet.routed;
}

/// The sum of both addresses.
uint32_t SumAddresses(const uint8_t *addresses, size_t size) {
  if (size == 4) return FoldSum(uint64_t{Read32(addresses)} + Read32(addresses + 4));
  return ChecksumSum(addresses, 2 * size, 0);
}

/// RFC 1624 for the folded sums of what was and what is.
uint32_t UpdateFull(uint32_t check, uint32_t from, uint32_t to) {
  return Not(FoldSum(uint64_t{Not(check)} + Not(from) + to));
}

uint32_t UpdatePartial(uint32_t check, uint32_t from, uint32_t to) { return FoldSum(uint64_t{check} + Not(from) + to); }

}  // namespace

Nat::Nat(const NatRule *rules, size_t count, const NatOptions &options)
    : rules_(rules, rules + count),
      options_(options),
      table_(static_cast<uint32_t>(options.seed), static_cast<size_t>(options.max_connections)),
      fragments_(kFragmentSlots),
      random_(static_cast<uint32_t>(options.seed) | 1) {}

NatOutcome Nat::TranslateOne(Packet *packet, double now, bool blank) {
  if (packet->verdict == Verdict::kNotIp) return NatOutcome::kUntouched;
  if (packet->verdict != Verdict::kOk) return NatOutcome::kRefused;
  if (packet->fragment_offset != 0) return TranslateFragment(packet, now);
  if (packet->quoted != 0) return TranslateError(packet, now);
  Tuple tuple;
  if (!TupleOf(*packet, &tuple)) return NatOutcome::kUntouched;
  Connection *connection = nullptr;
  Direction direction = kOriginal;
  const uint32_t reference = table_.Find(tuple, table_.Hash(tuple), now);
  if (reference != Conntrack::kNone) {
    connection = &table_.At(reference);
    direction = Conntrack::DirectionOf(reference);
  } else {
    const NatOutcome outcome = NewConnection(*packet, tuple, now, &connection);
    if (outcome != NatOutcome::kTranslated) return outcome;
  }
  const size_t times = packet->protocol == kTcp   ? kTcpTimes
                       : packet->protocol == kUdp ? kUdpTimes
                       : packet->icmp_type >= 0   ? kIcmpTimes
                                                  : kOtherTimes;
  Touch(connection, direction, times, times == kTcpTimes ? *packet->at(packet->l4 + 13) : 0, now);
  const Tuple target = connection->tuple[direction ^ 1].Inverse();
  if (packet->more_fragments) RememberFragments(*packet, target, now);
  Rewrite(packet, target, blank);
  return NatOutcome::kTranslated;
}

NatOutcome Nat::NewConnection(const Packet &packet, const Tuple &tuple, double now, Connection **made) {
  if (packet.icmp_type >= 0 && !IsRequest(packet)) return NatOutcome::kUntouched;
  Tuple target = tuple;
  const NatRule *const destination = Match(kDestinationNat, target);
  bool free = true;
  if (destination) {
    memcpy(target.destination, destination->to, sizeof target.destination);
    free = ChoosePort(*destination, &target, now);
  }
  const NatRule *const source = Match(kSourceNat, target);
  if (source) {
    memcpy(target.source, source->to, sizeof target.source);
    free = ChoosePort(*source, &target, now);
  }
  if (!destination && !source) return NatOutcome::kUntouched;
  if (!IsSupported(packet)) return NatOutcome::kUnsupported;
  if (!free) return NatOutcome::kNoPort;
  *made = table_.Add(tuple, target.Inverse(), now);
  return *made ? NatOutcome::kTranslated : NatOutcome::kTableFull;
}

const NatRule *Nat::Match(uint8_t kind, const Tuple &tuple) const {
  const uint32_t port = Read16(tuple.ports + 2);
  for (const NatRule &rule : rules_) {
    if (rule.kind != kind || rule.version != tuple.version) continue;
    if (rule.protocol != 0 && rule.protocol != tuple.protocol) continue;
    if (Read16(rule.port_max) != 0 && (port < Read16(rule.port_min) || port > Read16(rule.port_max))) continue;
    if (!InPrefix(tuple.source, rule.source, rule.source_bits)) continue;
    if (kind == kSourceNat) {
      // within the net nothing is hidden
      if (InPrefix(tuple.destination, rule.source, rule.source_bits) && rule.source_bits != 0) continue;
    }
    if (InPrefix(tuple.destination, rule.destination, rule.destination_bits)) return &rule;
  }
  return nullptr;
}

/// Makes a packet's addresses, ports and identifier those of the target, and has its checksums follow.
void Nat::Rewrite(Packet *packet, const Tuple &target, bool blank) const {
  const size_t size = packet->address_length;
  const bool has_header_check = !packet->Ipv4HeaderBlank();
  uint8_t *const addresses = packet->at(packet->addresses);
  const uint32_t old_addresses = SumAddresses(addresses, size);
  memcpy(addresses, target.source, size);
  memcpy(addresses + size, target.destination, size);
  const uint32_t new_addresses = SumAddresses(addresses, size);
  if (packet->version == 4 && has_header_check) {
    uint8_t *const check = packet->at(packet->ip + 10);
    Write16(check, UpdateFull(Read16(check), old_addresses, new_addresses));
  }

  uint32_t old_ports = 0;
  uint32_t new_ports = 0;
  if (HasPorts(*packet)) {
    uint8_t *const ports = packet->at(packet->l4);
    old_ports = FoldSum(Read32(ports));
    memcpy(ports, target.ports, 4);
    new_ports = FoldSum(Read32(ports));
  } else if (packet->icmp_id >= 0) {
    uint8_t *const id = packet->at(packet->l4 + 4);
    old_ports = Read16(id);
    memcpy(id, target.ports, 2);
    new_ports = Read16(id);
  }

  if (packet->check_at == 0) return;
  uint8_t *const field = packet->at(packet->check_at);
  uint32_t check = Read16(field);
  if (packet->protocol == kUdp && check == 0) return;
  if (blank) {
    // the patch of 2005 counts the ports in, which whoever completes the checksum will do again
    if (options_.historic != 0) check = UpdateFull(check, old_ports, new_ports);
    check = UpdatePartial(check, old_addresses, new_addresses);
  } else {
    check = UpdateFull(check, old_ports, new_ports);
    if (packet->protocol != kIcmp) check = UpdateFull(check, old_addresses, new_addresses);
    if (packet->protocol == kUdp && check == 0) check = 0xffff;
  }
  if (packet->l4_sum != 0) {
    const uint64_t gone = uint64_t{Not(Read16(field))} + Not(old_ports);
    packet->l4_sum = FoldSum(packet->l4_sum + gone + check + new_ports);
  }
  Write16(field, check);
}

/// An ICMP error goes the way of the answers to the packet that it quotes, and both must fit.
NatOutcome Nat::TranslateError(Packet *packet, double now) {
  Packet quoted;
  Tuple tuple;
  if (packet->fragment || quoted.ParseQuoted(*packet) != Verdict::kOk || !TupleOf(quoted, &tuple)) {
    return NatOutcome::kUntouched;
  }
  const Tuple inverse = tuple.Inverse();
  const uint32_t reference = table_.Find(inverse, table_.Hash(inverse), now);
  if (reference == Conntrack::kNone) return NatOutcome::kUntouched;
  const Connection &connection = table_.At(reference);
  const Direction direction = Conntrack::DirectionOf(reference);
  const Tuple &from = connection.tuple[direction];
  const Tuple &before = connection.tuple[direction ^ 1];

  const size_t end = std::min(packet->ip_end, quoted.l4 + 20);
  uint8_t *const field = packet->at(packet->check_at);
  const uint32_t old_sum = ChecksumSum(packet->at(packet->quoted), end - packet->quoted, 0);
  Rewrite(&quoted, before, false);
  const uint32_t new_sum = ChecksumSum(packet->at(packet->quoted), end - packet->quoted, 0);
  Write16(field, UpdateFull(Read16(field), old_sum, new_sum));

  Tuple outer = Tuple();
  TupleOf(*packet, &outer);
  // the router that tells of the trouble is hidden as well when the end that it speaks for is
  if (memcmp(from.source, before.destination, sizeof from.source) != 0) {
    memcpy(outer.source, before.destination, sizeof outer.source);
  }
  if (memcmp(outer.destination, from.destination, sizeof from.destination) == 0) {
    memcpy(outer.destination, before.source, sizeof outer.destination);
  }
  Rewrite(packet, outer, false);
  return NatOutcome::kTranslated;
}

namespace {

size_t FragmentSlot(const Tuple &key, size_t slots) {
  return ChecksumSum(reinterpret_cast<const uint8_t *>(&key), sizeof key, 0) % slots;
}

Tuple FragmentKey(const Packet &packet) {
  Tuple key = Tuple();
  memcpy(key.source, packet.at(packet.addresses), packet.address_length);
  memcpy(key.destination, packet.at(packet.addresses + packet.address_length), packet.address_length);
  key.protocol = static_cast<uint8_t>(packet.protocol);
  key.version = static_cast<uint8_t>(packet.version);
  Write16(key.ports, packet.fragment_id >> 16);
  Write16(key.ports + 2, packet.fragment_id & 0xffff);
  return key;
}

}  // namespace

void Nat::RememberFragments(const Packet &packet, const Tuple &target, double now) {
  const Tuple key = FragmentKey(packet);
  Fragments &slot = fragments_[FragmentSlot(key, kFragmentSlots)];
  slot.key = key;
  memcpy(slot.addresses, target.source, sizeof slot.addresses);
  slot.expires = now + kFragmentTimeout;
}

/// A fragment without ports goes where its first one went.
NatOutcome Nat::TranslateFragment(Packet *packet, double now) {
  const Tuple key = FragmentKey(*packet);
  const Fragments &slot = fragments_[FragmentSlot(key, kFragmentSlots)];
  if (slot.key == key && now <= slot.expires) {
    Tuple target = key;
    memcpy(target.source, slot.addresses, sizeof slot.addresses);
    Rewrite(packet, target, false);
    return NatOutcome::kTranslated;
  }
  // ours to translate, and we do not know how
  const bool ours = Match(kSourceNat, key) || Match(kDestinationNat, key);
  return ours ? NatOutcome::kFragment : NatOutcome::kUntouched;
}

}  // namespace xenctrl
