/* move.h: what a shard says to a round of moves (MOVE_VOTE). Numbers travel: append only. */
#ifndef COH_MOVE_H
#define COH_MOVE_H

typedef enum {
    COH_MOVE_YES,
    COH_MOVE_BUSY,    /* what it gave away last is still being read; later it may be otherwise */
    COH_MOVE_TOO_BIG, /* with the account that has more than a round may move */
    COH_MOVE_WORD_CNT
} coh_move_word_t;

#endif
