/* What a contract developer's tests do with a development chain: fixtures, snapshots, time, accounts. What is expected is what Hardhat's and Ethereum's documents say of these methods, or
   what contracts and the chain's own blocks show. */
const { expect } = require("chai");
const { ethers, network } = require("hardhat");
const helpers = require("@nomicfoundation/hardhat-network-helpers");
const { loadFixture, time, mine, mineUpTo, setBalance, setCode, setNonce, setStorageAt, getStorageAt } = helpers;
const { impersonateAccount, stopImpersonatingAccount, takeSnapshot, dropTransaction, reset } = helpers;

const YEAR = 365 * 24 * 3600;
const rpc = (method, ...params) => network.provider.request({ method, params });

async function deployLock() {
  const until = (await time.latest()) + YEAR;
  const [owner, other] = await ethers.getSigners();
  const lock = await ethers.deployContract("Lock", [until], { value: 1_000_000_000n });
  return { lock, until, owner, other };
}

async function deployLedger() {
  const ledger = await ethers.deployContract("Ledger");
  const signers = await ethers.getSigners();
  return { ledger, signers };
}

describe("accounts", () => {
  it("are the well-known ten with 10,000 ether", async () => {
    const mnemonic = ethers.Mnemonic.fromPhrase("test test test test test test test test test test test junk");
    const accounts = await rpc("eth_accounts");
    expect(accounts.length).to.equal(10);
    for (let i = 0; i < 10; i++) {
      const wallet = ethers.HDNodeWallet.fromMnemonic(mnemonic, `m/44'/60'/0'/0/${i}`);
      expect(ethers.getAddress(accounts[i])).to.equal(wallet.address);
    }
    expect(await ethers.provider.getBalance(accounts[9])).to.equal(ethers.parseEther("10000"));
    expect(Number(await rpc("eth_chainId"))).to.equal(31337);
  });

  it("sign messages, typed data and transactions", async () => {
    const [signer] = await ethers.getSigners();
    const key = "0xac0974bec39a17e36ba4a6b4d238ff944bacb478cbed5efcae784d7bf4f2ff80";
    const wallet = new ethers.Wallet(key, ethers.provider);
    expect(await signer.signMessage("a message")).to.equal(await wallet.signMessage("a message"));
    const data = ethers.hexlify(ethers.toUtf8Bytes("other"));
    expect(await rpc("eth_sign", signer.address, data)).to.equal(await wallet.signMessage("other"));
    const domain = { name: "Ether Mail", version: "1", chainId: 31337, verifyingContract: "0xCcCCccccCCCCcCCCCCCcCcCccCcCCCcCcccccccC" };
    const types = {
      Person: [{ name: "name", type: "string" }, { name: "wallets", type: "address[]" }],
      Mail: [
        { name: "from", type: "Person" }, { name: "to", type: "Person[]" }, { name: "contents", type: "string" },
        { name: "delta", type: "int64" }, { name: "tag", type: "bytes4" }, { name: "blob", type: "bytes" },
        { name: "grid", type: "uint8[2][]" }, { name: "ok", type: "bool" },
      ],
    };
    const cow = { name: "Cow", wallets: [signer.address, wallet.address] };
    const bob = { name: "Bob", wallets: [] };
    const mail = { from: cow, to: [bob, cow], contents: "Hello", delta: -5, tag: "0x01020304", blob: "0x00ff00", grid: [[1, 2], [3, 255]], ok: true };
    expect(await signer.signTypedData(domain, types, mail)).to.equal(await wallet.signTypedData(domain, types, mail));
    const raw = await rpc("eth_signTransaction", {
      from: signer.address, to: wallet.address, gas: "0x5208", nonce: "0x7", value: "0x1", maxFeePerGas: "0x77359400", maxPriorityFeePerGas: "0x1",
    });
    const tx = ethers.Transaction.from(raw);
    expect([tx.from, tx.nonce, tx.type, tx.chainId]).to.deep.equal([signer.address, 7, 2, 31337n]);
    const other = ethers.Wallet.createRandom();
    await expect(rpc("eth_sign", other.address, "0x00")).to.be.rejectedWith("unknown account");
    await expect(rpc("eth_sendTransaction", { from: other.address, to: signer.address, gas: "0x5208" })).to.be.rejectedWith("unknown account");
  });
});

describe("Lock", () => {
  it("opens when the time has come", async () => {
    const { lock, until, owner } = await loadFixture(deployLock);
    await expect(lock.withdraw()).to.be.revertedWithCustomError(lock, "TooEarly").withArgs(until);
    await time.increaseTo(until);
    expect(await time.latest()).to.equal(until);
    await expect(lock.withdraw()).to.emit(lock, "Withdrawal").withArgs(1_000_000_000n, until + 1);
    await expect(lock.connect(owner).withdraw()).to.changeEtherBalance(owner, 0);
  });

  it("is closed again in the next test", async () => {
    const { lock, until, other } = await loadFixture(deployLock);
    expect(await ethers.provider.getBalance(lock.target)).to.equal(1_000_000_000n);
    expect(await time.latest()).to.be.lessThan(until);
    await time.increase(YEAR + 10);
    await expect(lock.connect(other).withdraw()).to.be.revertedWith("You aren't the owner");
    await expect(lock.withdraw()).to.changeEtherBalances([lock], [-1_000_000_000n]);
  });

  it("sees the timestamp that was set for its block", async () => {
    const { lock, until } = await loadFixture(deployLock);
    await time.setNextBlockTimestamp(until - 1);
    await expect(lock.withdraw({ gasLimit: 100000 })).to.be.reverted;
    expect(await time.latest()).to.equal(until - 1);
    await lock.withdraw();
    expect(await time.latest()).to.be.at.least(until);
    await expect(ethers.deployContract("Lock", [until])).to.be.revertedWith("Unlock time should be in the future");
  });
});

describe("state", () => {
  it("is set, and gone after the snapshot", async () => {
    const { ledger, signers } = await loadFixture(deployLedger);
    await ledger.add(5);
    const before = await ethers.provider.getBlock("latest");
    const snapshot = await takeSnapshot();
    const fresh = ethers.Wallet.createRandom().address;
    await setBalance(fresh, 12345n);
    expect(await ethers.provider.getBalance(fresh)).to.equal(12345n);
    expect(await ethers.provider.getBlockNumber()).to.equal(before.number);
    await setNonce(fresh, 9);
    expect(await ethers.provider.getTransactionCount(fresh)).to.equal(9);
    await setCode(fresh, "0x5f545f5260205ff3"); /* returns slot 0 */
    await setStorageAt(fresh, 0, 0x77);
    expect(await ethers.provider.call({ to: fresh })).to.equal(ethers.toBeHex(0x77, 32));
    await setStorageAt(ledger.target, 0, 99);
    expect(await ledger.sum()).to.equal(99n);
    await ledger.connect(signers[3]).add(1);
    expect([await ledger.sum(), await ledger.amountOf(signers[3].address), await ledger.amountOf(signers[0].address)]).to.deep.equal([100n, 1n, 5n]);
    await ledger.spawn();
    const child = await ethers.getContractAt("Child", await ledger.childAt(0));
    await child.ping();
    await snapshot.restore();
    expect((await ethers.provider.getBlock("latest")).hash).to.equal(before.hash);
    expect([await ledger.sum(), await ledger.amountOf(signers[3].address), await ledger.amountOf(signers[0].address)]).to.deep.equal([5n, 0n, 5n]);
    expect(await ethers.provider.getBalance(fresh)).to.equal(0n);
    expect(await ethers.provider.getCode(fresh)).to.equal("0x");
    expect(await ethers.provider.getTransactionCount(fresh)).to.equal(0);
    expect(BigInt(await getStorageAt(fresh, 0))).to.equal(0n);
    expect(await ethers.provider.getCode(child.target)).to.equal("0x");
    /* At the same address it is made anew, with storage of its own. */
    await ledger.spawn();
    expect(await ledger.childAt(0)).to.equal(child.target);
    expect(await child.pings()).to.equal(0n);
    await snapshot.restore();
    expect((await ethers.provider.getBlock("latest")).hash).to.equal(before.hash);
  });

  it("has the same root when the same things happen again", async () => {
    const { ledger, signers } = await loadFixture(deployLedger);
    const run = async () => {
      const at = (await time.latest()) + 100;
      await time.setNextBlockTimestamp(at);
      await ledger.connect(signers[1]).add(3, { gasLimit: 100000 });
      await time.setNextBlockTimestamp(at + 5);
      await ledger.spawn({ gasLimit: 500000 });
      return (await ethers.provider.getBlock("latest")).hash;
    };
    const snapshot = await takeSnapshot();
    const first = await run();
    await snapshot.restore();
    expect(await run()).to.equal(first);
    await snapshot.restore();
    await setBalance(signers[7].address, 1n); /* the next root contains it */
    expect(await run()).to.not.equal(first);
    await snapshot.restore();
    expect(await run()).to.equal(first);
  });

  it("code comes back that was replaced", async () => {
    const { ledger } = await loadFixture(deployLedger);
    await ledger.add(4);
    const code = await ethers.provider.getCode(ledger.target);
    const snapshot = await takeSnapshot();
    await setCode(ledger.target, "0x60015f5260205ff3");
    expect(await ledger.sum()).to.equal(1n);
    await snapshot.restore();
    expect(await ethers.provider.getCode(ledger.target)).to.equal(code);
    expect(await ledger.sum()).to.equal(4n);
    await ledger.add(1);
    expect(await ledger.sum()).to.equal(5n);
  });

  it("of storage belongs to contracts only", async () => {
    await expect(setStorageAt(ethers.Wallet.createRandom().address, 0, 1)).to.be.rejectedWith("the account is empty");
  });

  it("forgets transactions, receipts and logs of blocks that are gone", async () => {
    const { ledger } = await loadFixture(deployLedger);
    const snapshot = await takeSnapshot();
    const from = await ethers.provider.getBlockNumber();
    const sent = await ledger.add(1);
    const receipt = await sent.wait();
    expect((await ledger.queryFilter("Added", from + 1)).length).to.equal(1);
    await snapshot.restore();
    expect(await ethers.provider.getTransactionReceipt(sent.hash)).to.equal(null);
    expect(await ethers.provider.getTransaction(sent.hash)).to.equal(null);
    expect(await rpc("eth_getBlockByHash", receipt.blockHash, false)).to.equal(null);
    await mine(2);
    expect(await ethers.provider.getTransactionReceipt(sent.hash)).to.equal(null);
    expect((await ledger.queryFilter("Added", from + 1)).length).to.equal(0);
  });

  it("snapshots nest, and are gone once gone behind", async () => {
    const { ledger } = await loadFixture(deployLedger);
    const first = await rpc("evm_snapshot");
    await ledger.add(1);
    const second = await rpc("evm_snapshot");
    await ledger.add(1);
    expect(await rpc("evm_revert", second)).to.equal(true);
    expect(await ledger.sum()).to.equal(1n);
    expect(await rpc("evm_revert", second)).to.equal(false);
    const third = await rpc("evm_snapshot");
    expect(await rpc("evm_revert", first)).to.equal(true);
    expect(await ledger.sum()).to.equal(0n);
    expect(await rpc("evm_revert", third)).to.equal(false);
  });
});

describe("impersonation", () => {
  it("sends for any account until it is stopped", async () => {
    const { ledger } = await loadFixture(deployLedger);
    const who = "0x00000000219ab540356cBB839Cbe05303d7705Fa";
    await expect(ethers.getSigner(who).then((s) => ledger.connect(s).add(1))).to.be.rejectedWith("unknown account");
    await impersonateAccount(who);
    await setBalance(who, ethers.parseEther("1"));
    const signer = await ethers.getSigner(who);
    const sent = await ledger.connect(signer).add(7);
    const receipt = await sent.wait();
    expect([receipt.from, receipt.status]).to.deep.equal([who, 1]);
    expect((await ethers.provider.getTransaction(sent.hash)).from).to.equal(who);
    expect(await ledger.amountOf(who)).to.equal(7n);
    /* A contract's own ether. */
    await setBalance(ledger.target, ethers.parseEther("2"));
    await impersonateAccount(ledger.target);
    const contract = await ethers.getSigner(ledger.target);
    await expect(contract.sendTransaction({ to: who, value: 5n })).to.changeEtherBalance(who, 5n); /* though it has code, against EIP-3607 */
    await stopImpersonatingAccount(who);
    await expect(ledger.connect(signer).add(1)).to.be.rejectedWith("unknown account");
  });
});

describe("mining", () => {
  it("makes blocks, apart from each other as asked", async () => {
    const start = await ethers.provider.getBlock("latest");
    await mine(5, { interval: 60 });
    const blocks = [];
    for (let n = start.number + 1; n <= start.number + 5; n++) {
      blocks.push(await ethers.provider.getBlock(n));
    }
    for (let i = 1; i < 5; i++) {
      expect(blocks[i].timestamp - blocks[i - 1].timestamp).to.equal(60);
      expect(blocks[i].parentHash).to.equal(blocks[i - 1].hash);
    }
    await mineUpTo(start.number + 300);
    expect(await ethers.provider.getBlockNumber()).to.equal(start.number + 300);
    await expect(rpc("evm_setNextBlockTimestamp", start.timestamp)).to.be.rejectedWith("lower than the previous block's timestamp");
  });

  it("each block is later than its parent", async () => {
    const [a, b] = await ethers.getSigners();
    const sent = await Promise.all([1n, 2n, 3n, 4n].map((value) => a.sendTransaction({ to: b.address, value })));
    const receipts = await Promise.all(sent.map((tx) => tx.wait()));
    expect(new Set(sent.map((tx) => tx.nonce)).size).to.equal(4);
    const first = Math.min(...receipts.map((r) => r.blockNumber));
    for (let n = first; n <= (await ethers.provider.getBlockNumber()); n++) {
      const [block, parent] = [await ethers.provider.getBlock(n), await ethers.provider.getBlock(n - 1)];
      expect(block.timestamp).to.be.greaterThan(parent.timestamp);
    }
  });

  it("waits when it is not automatic", async () => {
    const [a, b] = await ethers.getSigners();
    await rpc("evm_setAutomine", false);
    try {
      const at = await ethers.provider.getBlockNumber();
      const one = await a.sendTransaction({ to: b.address, value: 1n });
      const two = await a.sendTransaction({ to: b.address, value: 2n });
      expect(await ethers.provider.getTransactionReceipt(one.hash)).to.equal(null);
      expect(await dropTransaction(two.hash)).to.equal(true);
      expect(await ethers.provider.getTransaction(two.hash)).to.equal(null);
      await mine();
      expect(await ethers.provider.getBlockNumber()).to.equal(at + 1);
      expect((await one.wait()).blockNumber).to.equal(at + 1);
      await rpc("evm_setIntervalMining", 50);
      const three = await a.sendTransaction({ to: b.address, value: 3n });
      expect((await three.wait()).status).to.equal(1);
      await rpc("evm_setIntervalMining", 0);
    } finally {
      await rpc("evm_setAutomine", true);
    }
  });

  it("gives contracts the numbers and hashes of the chain as it is now", async () => {
    const { ledger } = await loadFixture(deployLedger);
    const snapshot = await takeSnapshot();
    await mine(3);
    const old = await ethers.provider.getBlock("latest");
    await snapshot.restore();
    await time.increase(1000);
    await mine(3);
    const now = await ethers.provider.getBlock("latest");
    expect(now.number).to.equal(old.number + 1);
    const parent = await ethers.provider.getBlock(now.number - 1);
    expect(parent.hash).to.not.equal(old.hash);
    expect(await ledger.hashOf(parent.number)).to.equal(parent.hash);
    expect((await ledger.clock())[0]).to.equal(BigInt(now.number));
  });

  it("builds blocks as they were wished for", async () => {
    const snapshot = await takeSnapshot();
    const [a, b] = await ethers.getSigners();
    const miner = ethers.Wallet.createRandom().address;
    await helpers.setCoinbase(miner);
    await helpers.setNextBlockBaseFeePerGas(5_000_000_000n);
    await helpers.setPrevRandao(0x1234);
    await helpers.setBlockGasLimit(20_000_000);
    await a.sendTransaction({ to: b.address, maxPriorityFeePerGas: 3n, maxFeePerGas: 6_000_000_000n });
    const block = await ethers.provider.getBlock("latest");
    expect([block.miner, block.baseFeePerGas, block.gasLimit]).to.deep.equal([miner, 5_000_000_000n, 20_000_000n]);
    expect(BigInt((await rpc("eth_getBlockByNumber", "latest", false)).mixHash)).to.equal(0x1234n);
    expect(await ethers.provider.getBalance(miner)).to.equal(21000n * 3n);
    await mine();
    expect((await ethers.provider.getBlock("latest")).baseFeePerGas).to.be.lessThan(5_000_000_000n);
    await snapshot.restore();
  });

  it("begins anew after a reset", async () => {
    await mine(3);
    await reset();
    expect(await ethers.provider.getBlockNumber()).to.equal(0);
    const [a] = await ethers.getSigners();
    expect(await ethers.provider.getBalance(a.address)).to.equal(ethers.parseEther("10000"));
    expect(await ethers.provider.getTransactionCount(a.address)).to.equal(0);
    const { ledger } = await loadFixture(deployLedger.bind(null));
    await ledger.add(2);
    expect(await ledger.sum()).to.equal(2n);
  });
});
