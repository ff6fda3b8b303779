/* fuzz_rpc: requests of JSON-RPC clients, over a short chain. The first octet says how the rest is sent: as it stands, or as the params of a method that the second
   octet chooses, so that arguments are reached too. Whatever comes, there is exactly one answer, and it is JSON or nothing. */
#include <stdlib.h>

#include "common/base/assert.h"
#include "coordinator/gateway/rpc_json.h"
#include "tests/fuzz/fuzz.h"
#include "tests/support/rpcworld.h"

static char const *const methods[] = {
#define COH_RPC(method, function, min, max, access) #method,
#include "coordinator/gateway/rpc_methods.def"
#undef COH_RPC
};

static void add_block(coh_rpcworld_t *w, uint64_t number)
{
    coh_header_t h = {.number = number, .gas_limit = 30000000, .ommers_hash = COH_EMPTY_LIST_HASH};
    coh_buf_t rlp  = COH_BUF_INIT;
    coh_header_encode(&rlp, &h, COH_FORK_SHANGHAI);
    coh_rpcworld_add(w, coh_buf_bytes(&rlp), COH_FORK_SHANGHAI, NULL, 0);
    coh_buf_free(&rlp);
}

int LLVMFuzzerTestOneInput(uint8_t const *data, size_t size)
{
    static coh_genesis_t const genesis = {.chain_id = 1337, .gas_limit = 30000000};
    coh_rpcworld_t w;
    coh_buf_t text = COH_BUF_INIT;
    if (size < 2) {
        return 0;
    }
    if ((data[0] & 4) != 0) {
        coh_rpcworld_init_dev(&w, &genesis);
    } else {
        coh_rpcworld_init(&w, &genesis);
    }
    w.on_disk = (data[0] & 2) != 0;
    add_block(&w, 0);
    add_block(&w, 1);
    if ((data[0] & 1) != 0) {
        coh_buf_printf(&text,
                       "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"%s\",\"params\":",
                       methods[data[1] % COH_CNT(methods)]);
        coh_buf_put(&text, data + 2, size - 2);
        coh_buf_put_u8(&text, '}');
    } else {
        coh_buf_put(&text, data + 1, size - 1);
    }
    coh_rpc_request(w.peer, coh_buf_bytes(&text));
    coh_rpcworld_answer(&w);
    (void)coh_rpc_tick(
        w.rpc, w.now_us + UINT64_C(4000000000)); /* what waits for a transaction waits in vain */
    COH_ASSERT(w.answer_cnt == 1);
    if (w.answer[0] != '\0') {
        json_t *answer = json_loads(w.answer, 0, NULL);
        COH_ASSERT(answer != NULL);
        json_decref(answer);
    }
    add_block(&w, 2); /* subscribers are told */
    coh_rpcworld_answer(&w);
    coh_rpcworld_fini(&w);
    coh_buf_free(&text);
    return 0;
}
