#include "libcrypto.h"

#include <dlfcn.h>

// Linked on a system with glibc 2.34 or newer, dlsym would be the one of 2.34, and the addon load on no older system.
#if defined(__GLIBC__) && defined(__x86_64__)
__asm__(".symver dlsym,dlsym@GLIBC_2.2.5");
#elif defined(__GLIBC__) && defined(__aarch64__)
__asm__(".symver dlsym,dlsym@GLIBC_2.17");
#endif

namespace xenctrl {
namespace {

template <typename Function>
bool Symbol(const char *name, Function *function) {
  void *const address = dlsym(RTLD_DEFAULT, name);
  *function = reinterpret_cast<Function>(address);
  return address != nullptr;
}

bool Fill(Libcrypto *table) {
  return Symbol("EVP_CIPHER_CTX_new", &table->cipher_ctx_new) &&
         Symbol("EVP_CIPHER_CTX_free", &table->cipher_ctx_free) &&
         Symbol("EVP_CIPHER_CTX_get_params", &table->cipher_ctx_get_params) &&
         Symbol("EVP_CIPHER_CTX_set_params", &table->cipher_ctx_set_params) &&
         Symbol("EVP_CIPHER_CTX_set_padding", &table->cipher_ctx_set_padding) &&
         Symbol("EVP_EncryptInit_ex", &table->encrypt_init) && Symbol("EVP_EncryptUpdate", &table->encrypt_update) &&
         Symbol("EVP_EncryptFinal_ex", &table->encrypt_final) && Symbol("EVP_DecryptInit_ex", &table->decrypt_init) &&
         Symbol("EVP_DecryptUpdate", &table->decrypt_update) && Symbol("EVP_DecryptFinal_ex", &table->decrypt_final) &&
         Symbol("EVP_aes_128_gcm", &table->aes_gcm[0]) && Symbol("EVP_aes_192_gcm", &table->aes_gcm[1]) &&
         Symbol("EVP_aes_256_gcm", &table->aes_gcm[2]) && Symbol("EVP_aes_128_cbc", &table->aes_cbc[0]) &&
         Symbol("EVP_aes_192_cbc", &table->aes_cbc[1]) && Symbol("EVP_aes_256_cbc", &table->aes_cbc[2]) &&
         Symbol("SHA256_Init", &table->sha256_init) && Symbol("SHA256_Update", &table->sha256_update) &&
         Symbol("SHA256_Final", &table->sha256_final) && Symbol("CRYPTO_memcmp", &table->memcmp);
}

}  // namespace

const Libcrypto *Libcrypto::Find() {
  static Libcrypto table{};
  static const bool found = Fill(&table);
  return found ? &table : nullptr;
}

}  // namespace xenctrl
