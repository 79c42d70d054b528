// The ciphers of ESP (RFC 4303) on whole packets, in place, with a context that keeps its key schedule.
#pragma once

#include <cstddef>
#include <cstdint>

#include "libcrypto.h"

namespace xenctrl {

/// A key for one direction.
///
///     packet: | SPI 4 | sequence 4 | IV | plaintext or ciphertext | ICV |
class Esp {
 public:
  /// Numbers that TypeScript knows.
  enum Algorithm : uint32_t {
    /// RFC 4106: IV of 8 bytes; nonce = salt | IV.
    kAesGcm = 0,
    /// RFC 3602 with RFC 4868: IV of 16 bytes; ICV = the first 16 bytes of HMAC-SHA-256.
    kAesCbcHmacSha256 = 1,
  };
  static constexpr size_t kHeader = 8;
  static constexpr size_t kMaxPacket = 1 << 20;

  struct Key {
    Algorithm algorithm;
    const uint8_t *key;
    size_t key_length;
    /// GCM: the salt, 4 bytes; CBC: the key of the HMAC, 32 bytes.
    const uint8_t *second;
    size_t second_length;
    size_t icv_length;
    /// The upper half of a 64-bit sequence number is authenticated, too, though not sent.
    bool esn;
  };

  /// Null: *error is -EINVAL (lengths), -ENOTSUP (no libcrypto) or -ENOMEM.
  static Esp *New(const Libcrypto *crypto, const Key &key, bool sealing, int *error);
  ~Esp();
  Esp(const Esp &) = delete;
  Esp &operator=(const Esp &) = delete;

  /// Makes a whole packet in `out`: the head (what is around ESP, ESP's own 8 bytes, the IV), the payload, padding, the
  /// ICV. The payload may lie anywhere in `out`. Its length; -EINVAL: lengths; -ENOSPC: `out` is too small; -EIO.
  int64_t Encapsulate(const uint8_t *head, size_t head_length, const uint8_t *payload, size_t payload_length,
                      uint8_t next_header, uint32_t sequence_high, uint8_t *out, size_t out_length);
  /// Encrypts the plaintext, which ends where the ICV begins, and writes that. 0; -EINVAL: lengths; -EIO: libcrypto.
  int Seal(uint8_t *packet, size_t length, uint32_t sequence_high);
  /// Writes the plaintext to `out`, which is where the ciphertext is or apart from the packet, and gives its length.
  /// -EBADMSG: not authentic, and `out` has zeros or what it had; -EINVAL: lengths; -ENOSPC: `out` is too small; -EIO:
  /// libcrypto.
  int64_t Open(const uint8_t *packet, size_t length, uint32_t sequence_high, uint8_t *out, size_t out_length);

 private:
  Esp(const Libcrypto *crypto, const Key &key);
  bool SetKey(const Key &key, bool sealing);
  void SetHmacKey(const uint8_t *key, size_t length);
  bool SealGcm(uint8_t *packet, size_t plaintext, const uint8_t *aad, size_t aad_length);
  bool SealCbc(uint8_t *packet, size_t plaintext, const uint8_t *high);
  int OpenGcm(const uint8_t *packet, size_t ciphertext, const uint8_t *aad, size_t aad_length, uint8_t *out);
  int OpenCbc(const uint8_t *packet, size_t ciphertext, const uint8_t *high, uint8_t *out);
  /// Takes the packet's IV; opening, the ICV as well.
  bool StartGcm(const uint8_t *packet, uint8_t *icv);
  /// The HMAC over `length` bytes, and with ESN over the sequence number's upper half.
  void Hmac(const uint8_t *data, size_t length, const uint8_t *high, uint8_t *digest);
  /// The length of plaintext or ciphertext, or a negative errno.
  int64_t Payload(size_t length) const;
  size_t iv_length() const { return algorithm_ == kAesGcm ? 8 : 16; }

  const Libcrypto *crypto_;
  Libcrypto::CipherContext *context_ = nullptr;
  const Algorithm algorithm_;
  const size_t icv_length_;
  const bool esn_;
  /// GCM: the salt, and the last packet's IV.
  uint8_t nonce_[12] = {};
  /// The HMAC's two hashes, after the block that the key makes.
  Sha256State inner_{};
  Sha256State outer_{};
};

}  // namespace xenctrl
