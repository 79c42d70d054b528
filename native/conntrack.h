// The connections that a NAT knows: src/net/nat/table.ts once more.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <memory>
#include <vector>

namespace xenctrl {

/// Both ends of a packet's way, as they are on the wire. An ICMP query has its identifier as both ports.
struct Tuple {
  uint8_t source[16];
  uint8_t destination[16];
  /// That of the source, then that of the destination.
  uint8_t ports[4];
  uint8_t protocol;
  uint8_t version;
  uint8_t zero[2];

  bool operator==(const Tuple &other) const { return memcmp(this, &other, sizeof *this) == 0; }
  /// That of an answer.
  Tuple Inverse() const;
};
static_assert(sizeof(Tuple) == 40, "no padding: tuples are compared as bytes");

enum Direction : uint32_t { kOriginal = 0, kReply = 1 };

struct Connection {
  Tuple tuple[2];
  /// What the sums of addresses and of ports gain as a packet of each direction is translated, of words as this machine
  /// reads them.
  uint16_t address_gain[2];
  uint16_t port_gain[2];
  /// The second after which it is forgotten.
  double expires;
  uint8_t state;
};

class Conntrack {
 public:
  static constexpr uint32_t kNone = UINT32_MAX;
  static constexpr size_t kMaxLimit = 1 << 22;
  /// What the state of a connection is that is none any more.
  static constexpr uint8_t kFree = UINT8_MAX;

  Conntrack(uint32_t seed, size_t limit) : seed_(seed), limit_(limit) {}

  uint32_t Hash(const Tuple &tuple) const;
  /// The same for a tuple of IPv4, both addresses in one word as they are in a packet: the rest of it is 0.
  uint32_t HashIpv4(uint64_t addresses, uint64_t rest) const {
    return static_cast<uint32_t>(Mix(addresses ^ seed_ ^ kSalt[0], rest ^ kSalt[1]));
  }
  /// Ports (as this machine reads them), protocol and version, as they lie in a tuple.
  static uint64_t Ipv4Rest(uint32_t ports, uint8_t protocol) {
    constexpr bool kLittle = __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__;
    const uint64_t version = 4;
    return kLittle ? ports | uint64_t{protocol} << 32 | version << 40
                   : uint64_t{ports} << 32 | uint64_t{protocol} << 24 | version << 16;
  }
  /// Has the processor fetch what Find() will need: first the bucket, then the connection in it.
  void PrefetchBucket(uint32_t hash) const {
    if (mask_ != 0) __builtin_prefetch(&heads_[hash & mask_]);
  }
  /// @return what is probably the connection, and null where there is none
  Connection *PrefetchConnection(uint32_t hash, Direction *direction) const;

  /// Whether what Prefetch gave is the connection of this tuple, as HashIpv4() has it, and it has not expired.
  static bool IsIpv4(const Connection &connection, Direction direction, uint64_t addresses, uint64_t rest, double now) {
    const Tuple &tuple = connection.tuple[direction];
    uint64_t own;
    memcpy(&own, tuple.ports, sizeof own);
    return own == rest && Ipv4Addresses(tuple) == addresses && now <= connection.expires && connection.state != kFree;
  }

  /// A reference to a connection and the direction, or kNone. One that has expired is removed on the way.
  uint32_t Find(const Tuple &tuple, uint32_t hash, double now);

  /// Adds a connection, neither of whose tuples is known; null when there is no room.
  Connection *Add(const Tuple &original, const Tuple &reply, double now);

  Connection &At(uint32_t reference) const {
    return chunks_[reference / (2 * kChunk)]->connections[reference / 2 % kChunk];
  }
  static Direction DirectionOf(uint32_t reference) { return static_cast<Direction>(reference & 1); }
  size_t count() const { return count_; }

 private:
  static constexpr size_t kChunk = 4096;

  /// What a bucket's chain is made of, one for each direction of a connection, and apart from it: those that are passed
  /// by are many.
  struct Link {
    uint32_t hash;
    /// A reference, or kNone. Of connections that are not in use, the next such.
    uint32_t next;
  };
  struct Chunk {
    Link links[2 * kChunk];
    Connection connections[kChunk];
  };

  Link &LinkAt(uint32_t reference) const { return chunks_[reference / (2 * kChunk)]->links[reference % (2 * kChunk)]; }
  static constexpr uint64_t kSalt[5] = {0x9e3779b97f4a7c15, 0xd1b54a32d192ed03, 0x8cb92ba72f3d8dd7, 0xaaaaaaaaaaaaaaab,
                                        0xe7037ed1a0b428db};

  static uint64_t Ipv4Addresses(const Tuple &tuple) {
    uint32_t words[2];
    memcpy(&words[0], tuple.source, 4);
    memcpy(&words[1], tuple.destination, 4);
    uint64_t addresses;
    memcpy(&addresses, words, sizeof addresses);
    return addresses;
  }

  /// A product's halves folded together: every bit of the result depends on every bit before.
  static uint64_t Mix(uint64_t a, uint64_t b) {
    __extension__ using Wide = unsigned __int128;
    const Wide product = static_cast<Wide>(a) * b;
    return static_cast<uint64_t>(product) ^ static_cast<uint64_t>(product >> 64);
  }

  void Insert(uint32_t reference);
  void Unlink(uint32_t reference);
  void Remove(uint32_t reference);
  void RemoveExpired(double now);
  bool Grow();

  const uint32_t seed_;
  const size_t limit_;
  size_t count_ = 0;
  /// Connections that were ever in use: those after them are fresh.
  size_t used_ = 0;
  /// A list through the links of the original direction; its elements are references, too.
  uint32_t free_ = kNone;
  /// When all were last looked through for expired ones.
  double swept_ = -1;
  uint32_t mask_ = 0;
  std::unique_ptr<uint32_t[]> heads_;
  std::vector<std::unique_ptr<Chunk>> chunks_;
};

inline Connection *Conntrack::PrefetchConnection(uint32_t hash, Direction *direction) const {
  if (mask_ == 0) return nullptr;
  for (uint32_t reference = heads_[hash & mask_]; reference != kNone;) {
    const Link &link = LinkAt(reference);
    if (link.hash == hash) {
      Connection *const connection = &At(reference);
      __builtin_prefetch(connection);
      __builtin_prefetch(reinterpret_cast<const char *>(connection) + 64, 1);
      *direction = DirectionOf(reference);
      return connection;
    }
    reference = link.next;
  }
  return nullptr;
}

}  // namespace xenctrl
