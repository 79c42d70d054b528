#include "esp.h"

#include <cerrno>
#include <cstring>
#include <new>
#include <utility>

namespace xenctrl {
namespace {

constexpr size_t kBlock = 16;
constexpr size_t kHashBlock = 64;
constexpr size_t kDigest = 32;

void StoreBe32(uint8_t *to, uint32_t value) {
  to[0] = static_cast<uint8_t>(value >> 24);
  to[1] = static_cast<uint8_t>(value >> 16);
  to[2] = static_cast<uint8_t>(value >> 8);
  to[3] = static_cast<uint8_t>(value);
}

/// What GCM authenticates beside the ciphertext: SPI | sequence, with ESN SPI | upper half | lower half (RFC 4106 5).
size_t Aad(const uint8_t *packet, bool esn, const uint8_t *high, uint8_t *aad) {
  if (!esn) {
    memcpy(aad, packet, 8);
    return 8;
  }
  memcpy(aad, packet, 4);
  memcpy(aad + 4, high, 4);
  memcpy(aad + 8, packet + 4, 4);
  return 12;
}

bool ValidLengths(const Esp::Key &key) {
  if (key.key_length != 16 && key.key_length != 24 && key.key_length != 32) return false;
  switch (key.algorithm) {
    case Esp::kAesGcm:
      return key.second_length == 4 && (key.icv_length == 8 || key.icv_length == 12 || key.icv_length == 16);
    case Esp::kAesCbcHmacSha256:
      return key.second_length == 32 && key.icv_length == 16;
  }
  return false;
}

}  // namespace

Esp::Esp(const Libcrypto *crypto, const Key &key)
    : crypto_(crypto), algorithm_(key.algorithm), icv_length_(key.icv_length), esn_(key.esn) {}

Esp::~Esp() {
  if (context_) crypto_->cipher_ctx_free(context_);  // which wipes it
  explicit_bzero(nonce_, sizeof nonce_);
  explicit_bzero(&inner_, sizeof inner_);
  explicit_bzero(&outer_, sizeof outer_);
}

Esp *Esp::New(const Libcrypto *crypto, const Key &key, bool sealing, int *error) {
  *error = -EINVAL;
  if (!ValidLengths(key)) return nullptr;
  *error = -ENOTSUP;
  if (!crypto) return nullptr;
  *error = -ENOMEM;
  auto *const esp = new (std::nothrow) Esp(crypto, key);
  if (!esp) return nullptr;
  if (esp->SetKey(key, sealing)) return esp;
  delete esp;
  return nullptr;
}

bool Esp::SetKey(const Key &key, bool sealing) {
  context_ = crypto_->cipher_ctx_new();
  if (!context_) return false;
  const size_t size = key.key_length / 8 - 2;
  const auto init = sealing ? crypto_->encrypt_init : crypto_->decrypt_init;
  if (algorithm_ == kAesGcm) {
    memcpy(nonce_, key.second, key.second_length);
    // 12 bytes of nonce are GCM's default
    return init(context_, crypto_->aes_gcm[size](), nullptr, key.key, nonce_) == 1;
  }
  SetHmacKey(key.second, key.second_length);
  return init(context_, crypto_->aes_cbc[size](), nullptr, key.key, nullptr) == 1 &&
         crypto_->cipher_ctx_set_padding(context_, 0) == 1;
}

/// RFC 2104; `length` is below the hash's block.
void Esp::SetHmacKey(const uint8_t *key, size_t length) {
  uint8_t block[kHashBlock];
  for (const auto &[state, filler] : {std::pair{&inner_, 0x36}, std::pair{&outer_, 0x5c}}) {
    memset(block, filler, sizeof block);
    for (size_t i = 0; i < length; i++) block[i] ^= key[i];
    crypto_->sha256_init(state);
    crypto_->sha256_update(state, block, sizeof block);
  }
  explicit_bzero(block, sizeof block);
}

void Esp::Hmac(const uint8_t *data, size_t length, const uint8_t *high, uint8_t *digest) {
  Sha256State state = inner_;
  crypto_->sha256_update(&state, data, length);
  if (esn_) crypto_->sha256_update(&state, high, 4);
  crypto_->sha256_final(digest, &state);
  state = outer_;
  crypto_->sha256_update(&state, digest, kDigest);
  crypto_->sha256_final(digest, &state);
}

/// By parameters, which costs half of what EVP_EncryptInit_ex() does for the same.
bool Esp::StartGcm(const uint8_t *packet, uint8_t *icv) {
  memcpy(nonce_ + 4, packet + kHeader, 8);
  const LibcryptoParam params[] = {
      {kCipherIvFixed, kOctetString, nonce_, kWholeIv, 0},
      {icv ? kCipherTag : nullptr, kOctetString, icv, icv_length_, 0},
      {nullptr, 0, nullptr, 0, 0},
  };
  return crypto_->cipher_ctx_set_params(context_, params) == 1;
}

int64_t Esp::Payload(size_t length) const {
  const size_t around = kHeader + iv_length() + icv_length_;
  if (length > kMaxPacket || length <= around) return -EINVAL;
  const size_t payload = length - around;
  if (algorithm_ == kAesCbcHmacSha256 && payload % kBlock != 0) return -EINVAL;
  return static_cast<int64_t>(payload);
}

int64_t Esp::Encapsulate(const uint8_t *head, size_t head_length, const uint8_t *payload, size_t payload_length,
                         uint8_t next_header, uint32_t sequence_high, uint8_t *out, size_t out_length) {
  if (head_length < kHeader + iv_length() || head_length > kMaxPacket || payload_length > kMaxPacket) return -EINVAL;
  const size_t block = algorithm_ == kAesGcm ? 4 : kBlock;
  const size_t plaintext = (payload_length + 2 + block - 1) / block * block;
  const size_t total = head_length + plaintext + icv_length_;
  if (total > out_length) return -ENOSPC;
  uint8_t *const text = out + head_length;
  if (payload_length > 0 && payload != text) memmove(text, payload, payload_length);
  memcpy(out, head, head_length);
  const size_t padding = plaintext - 2 - payload_length;
  for (size_t i = 0; i < padding; i++) text[payload_length + i] = static_cast<uint8_t>(i + 1);
  text[plaintext - 2] = static_cast<uint8_t>(padding);
  text[plaintext - 1] = next_header;
  const size_t esp = head_length - kHeader - iv_length();
  const int rc = Seal(out + esp, total - esp, sequence_high);
  if (rc == 0) return static_cast<int64_t>(total);
  explicit_bzero(out, total);
  return rc;
}

int Esp::Seal(uint8_t *packet, size_t length, uint32_t sequence_high) {
  const int64_t payload = Payload(length);
  if (payload < 0) return -EINVAL;
  uint8_t high[4];
  StoreBe32(high, sequence_high);
  if (algorithm_ == kAesCbcHmacSha256) return SealCbc(packet, static_cast<size_t>(payload), high) ? 0 : -EIO;
  uint8_t aad[12];
  return SealGcm(packet, static_cast<size_t>(payload), aad, Aad(packet, esn_, high, aad)) ? 0 : -EIO;
}

bool Esp::SealGcm(uint8_t *packet, size_t plaintext, const uint8_t *aad, size_t aad_length) {
  uint8_t *const text = packet + kHeader + iv_length();
  LibcryptoParam icv[] = {{kCipherTag, kOctetString, text + plaintext, icv_length_, 0}, {nullptr, 0, nullptr, 0, 0}};
  int done = 0;
  return StartGcm(packet, nullptr) &&
         crypto_->encrypt_update(context_, nullptr, &done, aad, static_cast<int>(aad_length)) == 1 &&
         crypto_->encrypt_update(context_, text, &done, text, static_cast<int>(plaintext)) == 1 &&
         crypto_->encrypt_final(context_, text + plaintext, &done) == 1 &&
         crypto_->cipher_ctx_get_params(context_, icv) == 1;
}

bool Esp::SealCbc(uint8_t *packet, size_t plaintext, const uint8_t *high) {
  uint8_t *const text = packet + kHeader + iv_length();
  int done = 0;
  if (crypto_->encrypt_init(context_, nullptr, nullptr, nullptr, packet + kHeader) != 1 ||
      crypto_->encrypt_update(context_, text, &done, text, static_cast<int>(plaintext)) != 1) {
    return false;
  }
  uint8_t digest[kDigest];
  Hmac(packet, kHeader + iv_length() + plaintext, high, digest);
  memcpy(text + plaintext, digest, icv_length_);
  return true;
}

int64_t Esp::Open(const uint8_t *packet, size_t length, uint32_t sequence_high, uint8_t *out, size_t out_length) {
  const int64_t payload = Payload(length);
  if (payload < 0) return payload;
  const auto ciphertext = static_cast<size_t>(payload);
  if (ciphertext > out_length) return -ENOSPC;
  const uint8_t *const text = packet + kHeader + iv_length();
  if (out != text && out < packet + length && packet < out + ciphertext) return -EINVAL;
  uint8_t high[4];
  StoreBe32(high, sequence_high);
  uint8_t aad[12];
  const int rc = algorithm_ == kAesGcm ? OpenGcm(packet, ciphertext, aad, Aad(packet, esn_, high, aad), out)
                                       : OpenCbc(packet, ciphertext, high, out);
  return rc < 0 ? rc : payload;
}

/// GCM decrypts before it knows: what it wrote is wiped when the ICV is wrong.
int Esp::OpenGcm(const uint8_t *packet, size_t ciphertext, const uint8_t *aad, size_t aad_length, uint8_t *out) {
  const uint8_t *const text = packet + kHeader + iv_length();
  uint8_t icv[kBlock];
  memcpy(icv, text + ciphertext, icv_length_);
  int done = 0;
  if (!StartGcm(packet, icv) ||
      crypto_->decrypt_update(context_, nullptr, &done, aad, static_cast<int>(aad_length)) != 1) {
    return -EIO;
  }
  if (crypto_->decrypt_update(context_, out, &done, text, static_cast<int>(ciphertext)) == 1 &&
      crypto_->decrypt_final(context_, out + ciphertext, &done) == 1) {
    return 0;
  }
  explicit_bzero(out, ciphertext);
  return -EBADMSG;
}

/// The ICV is looked at before anything is decrypted.
int Esp::OpenCbc(const uint8_t *packet, size_t ciphertext, const uint8_t *high, uint8_t *out) {
  const uint8_t *const text = packet + kHeader + iv_length();
  uint8_t digest[kDigest];
  Hmac(packet, kHeader + iv_length() + ciphertext, high, digest);
  if (crypto_->memcmp(digest, text + ciphertext, icv_length_) != 0) return -EBADMSG;
  int done = 0;
  if (crypto_->decrypt_init(context_, nullptr, nullptr, nullptr, packet + kHeader) == 1 &&
      crypto_->decrypt_update(context_, out, &done, text, static_cast<int>(ciphertext)) == 1) {
    return 0;
  }
  explicit_bzero(out, ciphertext);
  return -EIO;
}

}  // namespace xenctrl
