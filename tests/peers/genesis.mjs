// genesis.mjs [GAS_LIMIT]: prints a genesis.json of Osaka with the contracts that the system calls, and the ten accounts of the mnemonic that every development tool knows, funded.
import { readFileSync } from "node:fs";

export const accounts = [
    "f39fd6e51aad88f6f4ce6ab8827279cfffb92266",
    "70997970c51812dc3a010c7d01b50e0d17dc79c8",
    "3c44cdddb6a900fa2b585dd299e03d12fa4293bc",
    "90f79bf6eb2c4f870365e785982e1f101e93b906",
    "15d34aaf54267db7d7c367839aaf71a00a2c6a65",
    "9965507d1a55bcc2695c58ba16fb37d819b0a4dc",
    "976ea74026e726554db657fa54763abd0c3a0aa9",
    "14dc79964da2c08b23698b3d3cc7ca32193d9955",
    "23618e81e3f5cdf7f54c3d65f7fbc0abf5b21e8f",
    "a0ee7a142d267c1f36714e4a8f75612f20a79720",
];

// EIP-4788, EIP-2935, EIP-7002, EIP-7251: as chains of our own blockchain tests have them.
const chains = JSON.parse(readFileSync(new URL("../conformance/own_blocks/chains.json", import.meta.url)));
const system = Object.entries(chains.own_chain_Osaka.pre)
    .filter(([, account]) => account.code.startsWith("0x3373fffffffffffffffffffffffffffffffffffffffe"))
    .map(([address, { nonce, code }]) => [address.slice(2), { balance: "0x0", nonce, code }]);

const genesis = {
    config: {
        chainId: 31337,
        homesteadBlock: 0, eip150Block: 0, eip155Block: 0, eip158Block: 0, byzantiumBlock: 0, constantinopleBlock: 0,
        petersburgBlock: 0, istanbulBlock: 0, berlinBlock: 0, londonBlock: 0, terminalTotalDifficulty: 0,
        shanghaiTime: 0, cancunTime: 0, pragueTime: 0, osakaTime: 0,
    },
    nonce: "0x0", timestamp: "0x0", extraData: "0x", gasLimit: `0x${BigInt(process.argv[2] ?? 30_000_000).toString(16)}`, difficulty: "0x0",
    coinbase: "0x0000000000000000000000000000000000000c0b", baseFeePerGas: "0x3b9aca00",
    alloc: Object.fromEntries([...accounts.map((a) => [a, { balance: "0x21e19e0c9bab2400000" }]), ...system]),
};
if (process.argv[1].endsWith("genesis.mjs")) {
    console.log(JSON.stringify(genesis));
}
