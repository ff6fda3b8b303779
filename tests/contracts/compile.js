// compile.js: what build.sh runs. Writes one artifact for each contract that can be deployed.
//
//   node compile.js [--peers] DEPS OUT
//
// DEPS holds node_modules. An artifact is {contract, compiler, settings, abi, bytecode, deployedBytecode, methodIdentifiers}; in
// deployedBytecode immutable variables are zero, since only a deployment knows them.
"use strict";
const fs = require("fs");
const path = require("path");

const peers = process.argv[2] === "--peers";
const [deps, out] = process.argv.slice(peers ? 3 : 2);
const modules = path.resolve(deps, "node_modules");

// The oldest fork that a contract shall run on, where it is not DEFAULT_EVM.
const DEFAULT_EVM = "cancun";
const EVM = {
    "Factory.sol": "constantinople",
    "Memory.sol": "constantinople",
    "Recursion.sol": "constantinople",
    "Reenter.sol": "constantinople",
    "SelfDestruct.sol": "constantinople",
};

// The same optimizer runs as OpenZeppelin's own build; no metadata hash behind the code, so that comments do not change it. The Yul
// optimizer refuses MSIZE, which Memory needs.
function settings(name) {
    return {
        evmVersion: EVM[name] || DEFAULT_EVM,
        metadata: { appendCBOR: false, bytecodeHash: "none" },
        optimizer: { enabled: true, runs: 200, ...(name === "Memory.sol" && { details: { yul: false } }) },
    };
}

function fail(text) {
    process.stderr.write(`compile.js: ${text}\n`);
    process.exit(1);
}

function write(artifact) {
    const file = path.join(out, `${artifact.contract}.json`);
    if (fs.existsSync(file)) fail(`two contracts are called ${artifact.contract}`);
    fs.writeFileSync(file, JSON.stringify(artifact, null, 2) + "\n");
}

// Compiles one file; find turns an import into a path. Warnings are shown unless they are in EXPECTED.
const EXPECTED = new Set([
    "5159", // selfdestruct is deprecated: that is what we test
]);
function compile(solc, name, source, find) {
    const input = {
        language: "Solidity",
        sources: { [name]: { content: source } },
        settings: {
            ...settings(name),
            outputSelection: {
                [name]: {
                    "*": ["abi", "evm.bytecode.object", "evm.deployedBytecode.object", "evm.methodIdentifiers"],
                },
            },
        },
    };
    const readImport = (wanted) => {
        const file = find(wanted);
        return fs.existsSync(file) ? { contents: fs.readFileSync(file, "utf8") } : { error: `no ${file}` };
    };
    const output = JSON.parse(solc.compile(JSON.stringify(input), { import: readImport }));
    const messages = (output.errors || []).filter((e) => !EXPECTED.has(e.errorCode));
    for (const message of messages) process.stderr.write(message.formattedMessage);
    if (messages.length !== 0) fail(`${name} does not compile without warnings`);
    for (const [contract, made] of Object.entries(output.contracts[name] || {}).sort()) {
        if (made.evm.bytecode.object === "") continue; // abstract, or an interface
        write({
            contract,
            compiler: solc.version(),
            settings: settings(name),
            abi: made.abi,
            bytecode: "0x" + made.evm.bytecode.object,
            deployedBytecode: "0x" + made.evm.deployedBytecode.object,
            methodIdentifiers: made.evm.methodIdentifiers,
        });
    }
}

// A type as a signature has it: a structure is the list of its members.
function canonical(input) {
    return input.type.startsWith("tuple")
        ? `(${input.components.map(canonical).join(",")})${input.type.slice("tuple".length)}`
        : input.type;
}

// Uniswap's packages carry what their authors compiled, without selectors: V2's as solc puts it, V3's as Hardhat does.
function published(name, file) {
    const { keccak256 } = require(path.join(modules, "js-sha3"));
    const made = JSON.parse(fs.readFileSync(path.join(modules, file), "utf8"));
    const code = (hardhat, solc) => hardhat || "0x" + solc.object;
    const signatures = made.abi
        .filter((entry) => entry.type === "function")
        .map((entry) => `${entry.name}(${entry.inputs.map(canonical).join(",")})`)
        .sort();
    write({
        contract: name,
        compiler: "as published",
        settings: {},
        abi: made.abi,
        bytecode: code(made.bytecode, made.evm && made.evm.bytecode),
        deployedBytecode: code(made.deployedBytecode, made.evm && made.evm.deployedBytecode),
        methodIdentifiers: Object.fromEntries(signatures.map((text) => [text, keccak256(text).slice(0, 8)])),
    });
}

// Token, with OpenZeppelin's ledger under it: the same constructor as ours.
const PEER_TOKEN = `// SPDX-License-Identifier: UNLICENSED
pragma solidity ^0.8.24;
import "@openzeppelin/contracts/token/ERC20/ERC20.sol";
contract Token is ERC20 {
    constructor(string memory name_, string memory symbol_, address holder, uint256 amount)
        ERC20(name_, symbol_)
    {
        _mint(holder, amount);
    }
}
`;

const solc = require(path.join(modules, "solc"));
fs.mkdirSync(out, { recursive: true });
if (peers) {
    compile(solc, "Token.sol", PEER_TOKEN, (wanted) => path.join(modules, wanted));
    published("UniswapV2Factory", "@uniswap/v2-core/build/UniswapV2Factory.json");
    published("UniswapV2Pair", "@uniswap/v2-core/build/UniswapV2Pair.json");
    published("UniswapV2Router02", "@uniswap/v2-periphery/build/UniswapV2Router02.json");
    published("UniswapV3Factory", "@uniswap/v3-core/artifacts/contracts/UniswapV3Factory.sol/UniswapV3Factory.json");
    published("UniswapV3Pool", "@uniswap/v3-core/artifacts/contracts/UniswapV3Pool.sol/UniswapV3Pool.json");
    published("SwapRouter", "@uniswap/v3-periphery/artifacts/contracts/SwapRouter.sol/SwapRouter.json");
} else {
    const files = fs.readdirSync(__dirname).filter((file) => file.endsWith(".sol")).sort();
    for (const file of files) {
        const source = fs.readFileSync(path.join(__dirname, file), "utf8");
        compile(solc, file, source, (wanted) => path.join(__dirname, wanted));
    }
}
