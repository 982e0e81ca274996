/* The sensor's base layer: tracepoints and iterators that every kernel from 5.8 on has. One object, so that all
 * programs share their maps; each family has its own file. */
#include "common.bpf.h"
#include "calls.bpf.h"
#include "../families/process/process.bpf.h"
#include "../families/files/files.bpf.h"
#include "../families/sockets/sockets.bpf.h"
#include "../families/modules/modules.bpf.h"
#include "../families/io_uring/io_uring.bpf.h"

char LICENSE[] SEC("license") = "Dual BSD/GPL";
