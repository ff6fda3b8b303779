/* version.h: the program's version, as HELLO and the status pages carry it. Ranks of different versions do not work together. */
#ifndef COH_VERSION_H
#define COH_VERSION_H

#define COH_VERSION "0.1.0"

#endif
