// Which port a connection gets: src/net/nat/ports.ts once more.

#include <algorithm>

#include "nat.h"

namespace xenctrl {
namespace {

/// Tries of today's search before it starts somewhere else, and when it gives up.
constexpr uint32_t kMaxAttempts = 128;
constexpr uint32_t kMinAttempts = 16;

}  // namespace

bool Nat::IsFree(const Tuple &target, double now) {
  const Tuple reply = target.Inverse();
  return table_.Find(reply, table_.Hash(reply), now) == Conntrack::kNone;
}

/// Gives the target a port that no connection has; false when there is none.
bool Nat::ChoosePort(const NatRule &rule, Tuple *target, double now) {
  const bool icmp = target->protocol == (target->version == 4 ? kIcmp : kIcmpv6);
  const bool of_source = rule.kind == kSourceNat;
  uint8_t *const port = target->ports + (of_source ? 0 : 2);
  const uint32_t before = Read16(port);
  uint32_t min = Read16(rule.to_min);
  uint32_t max = Read16(rule.to_max);
  // ports are not identifiers
  const bool ranged = max != 0 && !icmp;
  if (target->protocol != kTcp && target->protocol != kUdp && !icmp) return IsFree(*target, now);
  // the identifier of a query stands on both sides
  if (icmp && !of_source) return IsFree(*target, now);
  if ((!ranged || (before >= min && before <= max)) && IsFree(*target, now)) return true;
  if (!ranged) {
    if (!of_source) return false;
    if (icmp) {
      min = 0;
      max = 65535;
    } else if (before < 512) {
      min = 1;
      max = 511;
    } else if (before < 1024) {
      min = 600;
      max = 1023;
    } else {
      min = 1024;
      max = 65535;
    }
  }
  const uint32_t size = max - min + 1;
  if (options_.old_ports != 0) {
    return TryPorts(target, port, min, size, size, &counters_[target->protocol], now);
  }
  uint16_t offset = of_source ? Random() : 0;
  for (uint32_t attempts = std::min(size, kMaxAttempts);; attempts /= 2, offset = Random()) {
    if (TryPorts(target, port, min, size, attempts, &offset, now)) return true;
    if (attempts >= size || attempts < kMinAttempts) return false;
  }
}

/// Tries ports one after the other. `offset` stays where one was found.
bool Nat::TryPorts(Tuple *target, uint8_t *port, uint32_t min, uint32_t size, uint32_t tries, uint16_t *offset,
                   double now) {
  const bool icmp = target->protocol != kTcp && target->protocol != kUdp;
  for (uint32_t i = 0; i < tries; i++, (*offset)++) {
    Write16(port, min + *offset % size);
    if (icmp) memcpy(target->ports + 2, target->ports, 2);
    if (IsFree(*target, now)) return true;
  }
  return false;
}

/// xorshift; the tests need the same numbers in TypeScript.
uint16_t Nat::Random() {
  random_ ^= random_ << 13;
  random_ ^= random_ >> 17;
  random_ ^= random_ << 5;
  return static_cast<uint16_t>(random_ >> 16);
}

}  // namespace xenctrl
