/* A Hardhat project as its users have them, but that the compiler is npm's solc, in the version of package-lock.json, instead of a download. COHORT_RPC: host:port of a dev chain. */
const path = require("path");
const { subtask } = require("hardhat/config");
const { TASK_COMPILE_SOLIDITY_GET_SOLC_BUILD } = require("hardhat/builtin-tasks/task-names");
require("@nomicfoundation/hardhat-ethers");
require("@nomicfoundation/hardhat-chai-matchers");

const version = "0.8.30";

subtask(TASK_COMPILE_SOLIDITY_GET_SOLC_BUILD, async () => {
  const solc = require("solc");
  if (!solc.version().startsWith(`${version}+`)) {
    throw new Error(`solc is ${solc.version()}`);
  }
  return { compilerPath: require.resolve("solc/soljson.js"), isSolcJs: true, version, longVersion: solc.version() };
});

module.exports = {
  solidity: { version, settings: { evmVersion: "cancun", optimizer: { enabled: true } } },
  defaultNetwork: "cohort",
  networks: { cohort: { url: `http://${process.env.COHORT_RPC}`, chainId: 31337, timeout: 60000 } },
  paths: { artifacts: path.join(__dirname, "artifacts"), cache: path.join(__dirname, "cache") },
  mocha: { timeout: 60000 },
};
