// The surface of ESP's ciphers.

#include <sys/mman.h>

#include <cerrno>
#include <memory>

#include "binding.h"
#include "esp.h"
#include "external_buffer.h"

namespace xenctrl {
namespace {

/// What is to be done with a packet, and the result, in memory that JavaScript writes and reads: numbers as arguments
/// would cost as much as a small packet does.
struct Job {
  uint32_t offset;
  uint32_t length;
  uint32_t sequence_high;
  uint32_t next_header;
  uint32_t head_length;
  int32_t result;
  uint32_t out_offset;
  /// Sealing: the payload is not in the first array but in the second, `out`.
  uint32_t in_out;
  /// What a packet that is sealed begins with. JavaScript keeps it up to date.
  uint8_t head[96];
};

/// A page: it is mapped.
constexpr size_t kJobMemory = 4096;
constexpr uint32_t kJobs = kJobMemory / sizeof(Job);

class EspHandle final : public Handle {
 public:
  EspHandle(Environment *environment, std::unique_ptr<Esp> esp, Ref<Memory> memory, Ref<ExternalBuffer> buffer)
      : Handle(environment), esp_(std::move(esp)), memory_(std::move(memory)), buffer_(std::move(buffer)) {}

  /// Null once the handle is closed.
  Esp *esp() const { return esp_.get(); }
  Job *jobs() const { return static_cast<Job *>(memory_->base()); }

  void Close(napi_env env) override {
    esp_ = nullptr;
    if (buffer_) buffer_->Detach(env);
    buffer_ = {};
  }
  void Abandon(napi_env env) override {
    esp_ = nullptr;
    if (buffer_) buffer_->LeaveToCollector(env);
    buffer_ = {};
  }

 private:
  std::unique_ptr<Esp> esp_;
  Ref<Memory> memory_;
  Ref<ExternalBuffer> buffer_;
};

struct Bytes {
  uint8_t *data = nullptr;
  size_t length = 0;

  /// The part at `offset`; false when that is not all there.
  bool Cut(uint32_t offset, uint32_t wanted) {
    if (offset > length || wanted > length - offset) return false;
    data += offset;
    length = wanted;
    return true;
  }
};

bool ReadBytes(napi_env env, napi_value value, Bytes *bytes) {
  napi_typedarray_type type = napi_int8_array;
  void *start = nullptr;
  if (napi_get_typedarray_info(env, value, &type, &bytes->length, &start, nullptr, nullptr) != napi_ok) return false;
  bytes->data = static_cast<uint8_t *>(start);
  return type == napi_uint8_array;
}

int32_t SealOne(Esp *esp, const Job &job, Bytes bytes, Bytes out) {
  // read once: a worker may have the memory, too
  const uint32_t head_length = job.head_length;
  const uint32_t out_offset = job.out_offset;
  Bytes payload = job.in_out ? out : bytes;
  if (head_length > sizeof job.head || !payload.Cut(job.offset, job.length) || out_offset > out.length) return -EINVAL;
  return static_cast<int32_t>(esp->Encapsulate(job.head, head_length, payload.data, payload.length,
                                               static_cast<uint8_t>(job.next_header), job.sequence_high,
                                               out.data + out_offset, out.length - out_offset));
}

int32_t OpenOne(Esp *esp, const Job &job, Bytes packet, Bytes out) {
  const uint32_t out_offset = job.out_offset;
  if (!packet.Cut(job.offset, job.length) || out_offset > out.length) return -EINVAL;
  return static_cast<int32_t>(
      esp->Open(packet.data, packet.length, job.sequence_high, out.data + out_offset, out.length - out_offset));
}

/// seal(bytes, out, count), open(bytes, out, count): does the first jobs. Through Node-API itself, for its speed.
template <int32_t (*one)(Esp *, const Job &, Bytes, Bytes)>
napi_value DoJobs(napi_env env, napi_callback_info info) {
  size_t given = 3;
  napi_value arguments[3] = {};
  void *data = nullptr;
  napi_get_cb_info(env, info, &given, arguments, nullptr, &data);
  auto *const handle = static_cast<EspHandle *>(static_cast<Handle *>(data));
  Bytes bytes;
  Bytes out;
  uint32_t count = 0;
  if (!handle->esp() || given < 3 || napi_get_value_uint32(env, arguments[2], &count) != napi_ok || count > kJobs) {
    return nullptr;
  }
  const bool valid = ReadBytes(env, arguments[0], &bytes) && ReadBytes(env, arguments[1], &out);
  for (Job *job = handle->jobs(); job < handle->jobs() + count; job++) {
    job->result = valid ? one(handle->esp(), *job, bytes, out) : -EINVAL;
  }
  return nullptr;
}

}  // namespace

/// openEsp(sealing, algorithm, key, salt or key of the HMAC, ICV's length, esn): the handle's object, or a negative
/// errno.
Napi::Value OpenEsp(const Napi::CallbackInfo &info) {
  const Napi::Env env = info.Env();
  Esp::Key key{};
  uint32_t algorithm = 0;
  uint64_t icv_length = 0;
  if (!info[0].IsBoolean() || !ReadUnsigned(info[1], &algorithm) || !ReadIndex(info[4], 64, &icv_length) ||
      !info[5].IsBoolean()) {
    return Result(info, -EINVAL);
  }
  key.key = Elements<uint8_t>(info[2], napi_uint8_array, &key.key_length);
  key.second = Elements<uint8_t>(info[3], napi_uint8_array, &key.second_length);
  if (!key.key || !key.second) return Result(info, -EINVAL);
  key.algorithm = static_cast<Esp::Algorithm>(algorithm);
  key.icv_length = icv_length;
  key.esn = info[5].As<Napi::Boolean>();
  int error = 0;
  std::unique_ptr<Esp> esp(Esp::New(Libcrypto::Find(), key, info[0].As<Napi::Boolean>(), &error));
  if (!esp) return Result(info, error);
  auto memory = Memory::Map(kJobMemory, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, &error);
  if (!memory) return Result(info, error);
  napi_value array_buffer = nullptr;
  napi_status status = napi_ok;
  auto buffer = ExternalBuffer::Create(env, memory, &array_buffer, &status);
  if (!buffer) return Result(info, status == napi_no_external_buffers_allowed ? -ENOTSUP : -ENOMEM);
  Handle *const handle =
      new EspHandle(env.GetInstanceData<Environment>(), std::move(esp), std::move(memory), std::move(buffer));
  const Napi::Object object = Napi::Object::New(env);
  AddFunction(object, "seal", DoJobs<SealOne>, handle);
  AddFunction(object, "open", DoJobs<OpenOne>, handle);
  AddFunction(object, "close", Call<CloseHandle>, handle);
  SetProperty(object, "jobs", array_buffer);
  return object;
}

}  // namespace xenctrl
