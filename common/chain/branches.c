#include "common/chain/branches.h"

#include <stdlib.h>

#include "common/base/alloc.h"
#include "common/base/arena.h"
#include "common/base/assert.h"
#include "common/chain/line.h"

#define TABLE_MIN         64u
#define BLOCK_HASH_WINDOW 256u

typedef struct node {
    coh_ancestor_t self;
    struct node *parent; /* NULL: the genesis */
    coh_bytes_t raw;
} node_t;

struct coh_branches {
    coh_branches_config_t config;
    coh_arena_t arena; /* nodes, octets of blocks */
    node_t **table;    /* by hash, open addressing */
    size_t mask;
    size_t cnt;
    node_t *genesis;
    node_t *head;
    node_t *tip;        /* whose state is there */
    coh_world_t *world; /* without another engine */
    coh_block_fault_t fault;
};

/* ---- Blocks by hash -------------------------------------------------------------------------------------------------------------- */

static size_t place(coh_branches_t const *b, coh_hash_t const *hash)
{
    size_t i = coh_load_u64_le(hash->b) & b->mask;
    while (b->table[i] != NULL && !coh_hash_eq(&b->table[i]->self.self.hash, hash)) {
        i = (i + 1) & b->mask;
    }
    return i;
}

static void add_node(coh_branches_t *b, node_t *node)
{
    if (b->cnt * 2 >= b->mask) {
        node_t **old  = b->table;
        size_t old_sz = b->table == NULL ? 0 : b->mask + 1;
        size_t size   = COH_MAX(old_sz * 2, TABLE_MIN);
        b->table      = coh_calloc(size, sizeof(*b->table));
        b->mask       = size - 1;
        for (size_t i = 0; i < old_sz; i++) {
            if (old[i] != NULL) {
                b->table[place(b, &old[i]->self.self.hash)] = old[i];
            }
        }
        free(old);
    }
    b->table[place(b, &node->self.self.hash)] = node;
    b->cnt++;
}

/* ---- The state ------------------------------------------------------------------------------------------------------------------- */

static void block_hash(void *arg, coh_u256_t *out, uint64_t number)
{
    coh_branches_t const *b = arg;
    node_t const *node      = b->tip;
    *out                    = COH_U256_ZERO;
    for (uint32_t i = 0; node != NULL && i < BLOCK_HASH_WINDOW; i++, node = node->parent) {
        if (node->self.self.header.number == number) {
            *out = coh_u256_from_be(node->self.self.hash.b, sizeof(node->self.self.hash.b));
            return;
        }
    }
}

/* False: the engine cannot, or there the state has another root than the genesis. */
static bool go_to_genesis(coh_branches_t *b)
{
    b->tip = b->genesis;
    if (b->config.engine != NULL) {
        return b->config.engine->restart(b->config.engine);
    }
    coh_world_free(b->world);
    b->world          = coh_world_new(COH_FORK_FRONTIER, b->config.roots);
    coh_memview_t *mv = coh_world_state(b->world);
    coh_hash_t root;
    b->config.fill(b->config.fill_arg, mv);
    coh_memview_set_block_hash(mv, block_hash, b);
    coh_world_root(b->world, &root);
    return coh_hash_eq(&root, &b->config.genesis.state_root);
}

static coh_block_fault_t const *execute(coh_branches_t *b,
                                        coh_block_t const *block,
                                        coh_rules_t const *rules)
{
    coh_branches_engine_t *engine = b->config.engine;
    return engine != NULL ? engine->execute(engine, block, rules)
                          : coh_execute_block(b->config.executor, b->world, block, rules);
}

static coh_rules_t rules_of(coh_branches_t const *b, coh_header_t const *h, node_t const *parent)
{
    return coh_schedule_rules(
        &b->config.schedule, h->number, h->timestamp, &parent->self.self.total_difficulty);
}

static void repeat(coh_branches_t *b, node_t *node)
{
    coh_block_t block;
    coh_err_t decoded = coh_block_decode(&block, node->raw);
    COH_ASSERT(decoded == COH_OK && node->parent == b->tip);
    coh_rules_t rules              = rules_of(b, &block.header, node->parent);
    coh_block_fault_t const *fault = execute(b, &block, &rules);
    COH_ASSERT(fault == NULL); /* it was valid before */
    b->tip = node;
}

/* True if a is b, or an ancestor of it. */
static bool leads_to(node_t const *a, node_t const *b)
{
    while (b != NULL && b->self.self.header.number > a->self.self.header.number) {
        b = b->parent;
    }
    return a == b;
}

/* Makes the state that after node. */
static void go_to(coh_branches_t *b, node_t *node)
{
    if (!leads_to(b->tip, node)) {
        bool is_there = go_to_genesis(b);
        COH_ASSERT(is_there); /* it was before */
    }
    size_t cnt    = (size_t)(node->self.self.header.number - b->tip->self.self.header.number);
    node_t **path = coh_calloc(cnt + 1, sizeof(node_t *));
    for (size_t i = cnt; i-- > 0; node = node->parent) {
        path[i] = node;
    }
    for (size_t i = 0; i < cnt; i++) {
        repeat(b, path[i]);
    }
    free(path);
}

/* ---- Life cycle ------------------------------------------------------------------------------------------------------------------ */

coh_branches_t *coh_branches_new(coh_branches_config_t const *config)
{
    coh_branches_t *b = coh_calloc(1, sizeof(*b));
    coh_parent_t *self;
    b->config   = *config;
    b->genesis  = coh_arena_alloc(&b->arena, sizeof(*b->genesis));
    *b->genesis = (node_t){.parent = NULL};
    self        = &b->genesis->self.self;
    *self       = (coh_parent_t){.header      = config->genesis,
                                 .hash        = coh_header_hash(&config->genesis, config->genesis_shape),
                                 .header_fork = config->genesis_shape,
                                 .total_difficulty = config->genesis.difficulty};
    b->head     = b->genesis;
    add_node(b, b->genesis);
    if (!go_to_genesis(b)) {
        coh_branches_free(b);
        return NULL;
    }
    return b;
}

void coh_branches_free(coh_branches_t *b)
{
    if (b == NULL) {
        return;
    }
    coh_world_free(b->world);
    free(b->table);
    coh_arena_free(&b->arena);
    free(b);
}

/* ---- Import ---------------------------------------------------------------------------------------------------------------------- */

static coh_block_err_t check(coh_branches_t *b,
                             coh_rules_t *rules,
                             coh_block_t const *block,
                             node_t *parent)
{
    coh_ancestor_t const *ancestors[COH_OMMER_GENERATION_MAX];
    size_t cnt = 0;
    for (node_t *n = parent; n != NULL && cnt < COH_CNT(ancestors); n = n->parent) {
        ancestors[cnt++] = &n->self;
    }
    return coh_block_check(&b->fault, rules, block, &b->config.schedule, ancestors, cnt);
}

static void become_head(coh_branches_t *b, node_t *node, coh_fork_t fork)
{
    /* EIP-3675: the consensus layer says which; of tests' blocks it is the last. Before: the most work; of equals the first. */
    if (fork >= COH_FORK_PARIS ||
        coh_u256_lt(&b->head->self.self.total_difficulty, &node->self.self.total_difficulty)) {
        b->head = node;
    }
}

static void add_block(coh_branches_t *b, coh_block_t const *block, node_t *parent, coh_fork_t fork)
{
    node_t *node = coh_arena_alloc(&b->arena, sizeof(*node));
    uint8_t *raw = coh_arena_alloc(&b->arena, block->raw.n);
    memcpy(raw, block->raw.p, block->raw.n);
    *node           = (node_t){.parent = parent, .raw = coh_bytes(raw, block->raw.n)};
    node->self.self = (coh_parent_t){
        .header = block->header, .hash = block->hash, .header_fork = block->header_fork};
    (void)coh_u256_add(&node->self.self.total_difficulty,
                       &parent->self.self.total_difficulty,
                       &block->header.difficulty);
    coh_ommers_hashes(&node->self, block);
    add_node(b, node);
    b->tip = node;
    become_head(b, node, fork);
}

static coh_block_fault_t const *refuse(coh_branches_t *b, coh_block_err_t err)
{
    b->fault.err = err;
    return &b->fault;
}

coh_block_fault_t const *coh_branches_import(coh_branches_t *b, coh_bytes_t raw)
{
    coh_block_t block;
    b->fault          = (coh_block_fault_t){.err = COH_BLOCK_OK};
    coh_err_t decoded = coh_block_decode(&block, raw);
    if (decoded != COH_OK) {
        return refuse(b, decoded == COH_ETOOBIG ? COH_BLOCK_EXTRA_SIZE : COH_BLOCK_MALFORMED);
    }
    if (b->table[place(b, &block.hash)] != NULL) {
        return NULL;
    }
    node_t *parent = b->table[place(b, &block.header.parent_hash)];
    if (parent == NULL) {
        return refuse(b, COH_BLOCK_UNKNOWN_PARENT);
    }
    coh_rules_t rules;
    if (check(b, &rules, &block, parent) != COH_BLOCK_OK) {
        return &b->fault;
    }
    go_to(b, parent);
    coh_block_fault_t const *fault = execute(b, &block, &rules);
    if (fault != NULL) {
        b->fault = *fault;
        return &b->fault;
    }
    add_block(b, &block, parent, rules.fork);
    return NULL;
}

coh_ancestor_t const *coh_branches_head(coh_branches_t const *b) { return &b->head->self; }

coh_memview_t *coh_branches_state(coh_branches_t *b)
{
    go_to(b, b->head);
    return b->config.engine != NULL ? b->config.engine->state(b->config.engine)
                                    : coh_world_state(b->world);
}
