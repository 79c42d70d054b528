// What this addon calls of OpenSSL's libcrypto: Node's own, which its executable (or the library it is linked with)
// exports. It is looked up when it is first needed, not linked: a Node that exports none of it (some are built so, and
// Electron has another library) loads the rest of the addon all the same. The declarations are by hand: Node's headers
// may be missing, or of another version; these are OpenSSL 3's interface.
#pragma once

#include <cstddef>
#include <cstdint>

namespace xenctrl {

/// openssl/core.h: OSSL_PARAM, a named argument. A list of them ends with one without a name.
struct LibcryptoParam {
  const char *name;
  unsigned int type;
  void *data;
  size_t size;
  size_t used;
};
constexpr unsigned int kOctetString = 5;
// openssl/core_names.h
constexpr const char *kCipherTag = "tag";
/// The IV, or with a size of all bits set the whole of it: what EVP_CTRL_AEAD_SET_IV_FIXED is with -1.
constexpr const char *kCipherIvFixed = "tlsivfixed";
constexpr size_t kWholeIv = SIZE_MAX;

/// openssl/sha.h: room for a SHA256_CTX, which has 112 bytes.
struct alignas(16) Sha256State {
  unsigned char bytes[192];
};

struct Libcrypto {
  struct CipherContext;  // EVP_CIPHER_CTX
  struct Cipher;         // EVP_CIPHER
  using GetCipher = const Cipher *(*)();
  using Init = int (*)(CipherContext *, const Cipher *, void *engine, const unsigned char *key,
                       const unsigned char *iv);
  using Update = int (*)(CipherContext *, unsigned char *out, int *out_length, const unsigned char *in, int length);
  using Final = int (*)(CipherContext *, unsigned char *out, int *out_length);

  CipherContext *(*cipher_ctx_new)();
  void (*cipher_ctx_free)(CipherContext *);
  int (*cipher_ctx_get_params)(CipherContext *, LibcryptoParam *);
  int (*cipher_ctx_set_params)(CipherContext *, const LibcryptoParam *);
  int (*cipher_ctx_set_padding)(CipherContext *, int padding);
  Init encrypt_init;
  Update encrypt_update;
  Final encrypt_final;
  Init decrypt_init;
  Update decrypt_update;
  Final decrypt_final;
  /// For keys of 16, 24 and 32 bytes.
  GetCipher aes_gcm[3];
  GetCipher aes_cbc[3];
  int (*sha256_init)(Sha256State *);
  int (*sha256_update)(Sha256State *, const void *data, size_t length);
  int (*sha256_final)(unsigned char *digest, Sha256State *);
  int (*memcmp)(const void *a, const void *b, size_t length);

  /// Null where this process has no such library.
  static const Libcrypto *Find();
};

}  // namespace xenctrl
