#include "conntrack.h"

#include <new>
#include <utility>

#include "checksum.h"

namespace xenctrl {
namespace {

/// What a sum gains as `from` becomes `to`.
uint16_t Gain(const uint8_t *from, const uint8_t *to, size_t size) {
  return static_cast<uint16_t>(FoldSum(uint64_t{~SumWords(from, size) & 0xffff} + SumWords(to, size)));
}

}  // namespace

Tuple Tuple::Inverse() const {
  Tuple inverse = *this;
  memcpy(inverse.source, destination, sizeof source);
  memcpy(inverse.destination, source, sizeof source);
  memcpy(inverse.ports, ports + 2, 2);
  memcpy(inverse.ports + 2, ports, 2);
  return inverse;
}

uint32_t Conntrack::Hash(const Tuple &tuple) const {
  uint64_t words[5];
  memcpy(words, &tuple, sizeof words);
  if (tuple.version == 4) return HashIpv4(Ipv4Addresses(tuple), words[4]);
  const uint64_t first = Mix(words[0] ^ kSalt[0], words[2] ^ seed_ ^ kSalt[1]);
  const uint64_t second = Mix(words[1] ^ kSalt[2], words[3] ^ kSalt[3]);
  return static_cast<uint32_t>(Mix(first ^ second, words[4] ^ kSalt[4]));
}

uint32_t Conntrack::Find(const Tuple &tuple, uint32_t hash, double now) {
  if (mask_ == 0) return kNone;
  for (uint32_t reference = heads_[hash & mask_]; reference != kNone;) {
    const Link &link = LinkAt(reference);
    if (link.hash == hash && At(reference).tuple[DirectionOf(reference)] == tuple) {
      if (now <= At(reference).expires) return reference;
      Remove(reference);
      return kNone;
    }
    reference = link.next;
  }
  return kNone;
}

Connection *Conntrack::Add(const Tuple &original, const Tuple &reply, double now) {
  if (count_ >= limit_ && swept_ != now) RemoveExpired(now);
  if (count_ >= limit_ || (2 * count_ >= mask_ && !Grow())) return nullptr;
  uint32_t reference = static_cast<uint32_t>(2 * used_);
  if (free_ != kNone) {
    reference = free_;
    free_ = LinkAt(reference).next;
  } else {
    if (used_ == chunks_.size() * kChunk) {
      std::unique_ptr<Chunk> chunk(new (std::nothrow) Chunk);
      if (!chunk) return nullptr;
      chunks_.push_back(std::move(chunk));
    }
    used_++;
  }
  Connection &connection = At(reference);
  connection.tuple[kOriginal] = original;
  connection.tuple[kReply] = reply;
  for (const Direction direction : {kOriginal, kReply}) {
    const Tuple &from = connection.tuple[direction];
    const Tuple to = connection.tuple[direction ^ 1].Inverse();
    connection.address_gain[direction] = Gain(from.source, to.source, 32);
    connection.port_gain[direction] = Gain(from.ports, to.ports, 4);
  }
  connection.expires = now;
  connection.state = 0;
  LinkAt(reference).hash = Hash(original);
  LinkAt(reference + 1).hash = Hash(reply);
  Insert(reference);
  Insert(reference + 1);
  count_++;
  return &connection;
}

void Conntrack::Insert(uint32_t reference) {
  Link &link = LinkAt(reference);
  uint32_t &head = heads_[link.hash & mask_];
  link.next = head;
  head = reference;
}

void Conntrack::Unlink(uint32_t reference) {
  const Link &link = LinkAt(reference);
  uint32_t *to = &heads_[link.hash & mask_];
  while (*to != reference) to = &LinkAt(*to).next;
  *to = link.next;
}

void Conntrack::Remove(uint32_t reference) {
  const uint32_t original = reference & ~uint32_t{1};
  Unlink(original);
  Unlink(original + 1);
  At(original).state = kFree;
  LinkAt(original).next = free_;
  free_ = original;
  count_--;
}

void Conntrack::RemoveExpired(double now) {
  swept_ = now;
  for (uint32_t reference = 0; reference < 2 * used_; reference += 2) {
    const Connection &connection = At(reference);
    if (connection.state != kFree && now > connection.expires) Remove(reference);
  }
}

/// Makes the buckets four times as many: every connection is put into a bucket again.
bool Conntrack::Grow() {
  const size_t size = mask_ == 0 ? 2048 : (size_t{mask_} + 1) * 4;
  std::unique_ptr<uint32_t[]> heads(new (std::nothrow) uint32_t[size]);
  if (!heads) return false;
  for (size_t i = 0; i < size; i++) heads[i] = kNone;
  heads_ = std::move(heads);
  mask_ = static_cast<uint32_t>(size - 1);
  for (uint32_t reference = 0; reference < 2 * used_; reference += 2) {
    if (At(reference).state == kFree) continue;
    Insert(reference);
    Insert(reference + 1);
  }
  return true;
}

}  // namespace xenctrl
