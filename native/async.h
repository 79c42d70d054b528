// A hypercall on one of Node's pool threads.
#pragma once

#include <napi.h>

#include "privcmd.h"

namespace xenctrl {

/// Queues the call; the promise is resolved with its result. The slot is a copy, so that JavaScript may write to the
/// arena meanwhile; the device, and with it the arena that the arguments point into, lives until the call is done.
Napi::Promise QueueHypercall(Napi::Env env, Ref<Privcmd> device, const Slot &slot);

}  // namespace xenctrl
