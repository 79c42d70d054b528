// A hypercall on one of Node's pool threads.
#pragma once

#include <node_api.h>

#include "privcmd.h"

namespace xenctrl {

/// Queues the call and gives a promise of its result; null when the environment is ending. The slot is a copy, so that
/// JavaScript may write to the arena meanwhile; the device, and with it the arena that the arguments point into, lives
/// until the call is done.
napi_value QueueHypercall(napi_env env, Ref<Privcmd> device, const Slot &slot);

}  // namespace xenctrl
