// SPDX-License-Identifier: UNLICENSED
pragma solidity ^0.8.24;

import "Ledger.sol";

interface ISwapReceiver {
    function onSwap(address sender, uint256 out0, uint256 out1, bytes calldata data) external;
}

/// A pool of two tokens that trades at constant product, less a fee of 0.3 %. Its own ledger counts the providers'
/// shares. It believes balances, not callers: whoever wants something from it pays first, then calls, in one transaction.
contract Pair is Ledger {
    uint256 private constant MINIMUM_SHARES = 1000; // locked for ever, so that a share never costs too much
    address private constant LOCKED = address(1);

    address public immutable token0;
    address public immutable token1;

    // One slot.
    uint112 private reserve0;
    uint112 private reserve1;
    uint32 private updatedAt;

    /// Sums of price times seconds, prices as fixed-point numbers with 112 fractional bits; they wrap.
    uint256 public priceSum0;
    uint256 public priceSum1;

    uint256 private unlocked = 1;

    event Mint(address indexed sender, uint256 amount0, uint256 amount1);
    event Burn(address indexed sender, uint256 amount0, uint256 amount1, address indexed to);
    event Swap(
        address indexed sender,
        uint256 in0,
        uint256 in1,
        uint256 out0,
        uint256 out1,
        address indexed to
    );
    event Sync(uint112 reserve0, uint112 reserve1);

    error Locked();
    error TooMuch();
    error NoShares();
    error NoOutput();
    error NoInput();
    error NoLiquidity();
    error BadReceiver();
    error BadProduct();
    error TransferFailed(address token);

    modifier lock() {
        if (unlocked != 1) revert Locked();
        unlocked = 2;
        _;
        unlocked = 1;
    }

    constructor(address token0_, address token1_) Ledger("Pool share", "POOL") {
        token0 = token0_;
        token1 = token1_;
    }

    function getReserves() public view returns (uint112, uint112, uint32) {
        return (reserve0, reserve1, updatedAt);
    }

    /// Makes shares for to out of what was paid in since the last update.
    function mint(address to) external lock returns (uint256 shares) {
        (uint112 r0, uint112 r1, ) = getReserves();
        uint256 balance0 = Ledger(token0).balanceOf(address(this));
        uint256 balance1 = Ledger(token1).balanceOf(address(this));
        uint256 amount0 = balance0 - r0;
        uint256 amount1 = balance1 - r1;
        uint256 total = totalSupply();
        if (total == 0) {
            uint256 root = squareRoot(amount0 * amount1);
            if (root <= MINIMUM_SHARES) revert NoShares();
            shares = root - MINIMUM_SHARES;
            mintTo(LOCKED, MINIMUM_SHARES);
        } else {
            uint256 by0 = (amount0 * total) / r0;
            uint256 by1 = (amount1 * total) / r1;
            shares = by0 < by1 ? by0 : by1;
            if (shares == 0) revert NoShares();
        }
        mintTo(to, shares);
        update(balance0, balance1, r0, r1);
        emit Mint(msg.sender, amount0, amount1);
    }

    /// Pays out the shares that were sent to this contract.
    function burn(address to) external lock returns (uint256 amount0, uint256 amount1) {
        (uint112 r0, uint112 r1, ) = getReserves();
        uint256 balance0 = Ledger(token0).balanceOf(address(this));
        uint256 balance1 = Ledger(token1).balanceOf(address(this));
        uint256 shares = balanceOf(address(this));
        uint256 total = totalSupply();
        if (total == 0) revert NoShares();
        amount0 = (shares * balance0) / total;
        amount1 = (shares * balance1) / total;
        if (amount0 == 0 || amount1 == 0) revert NoShares();
        burnFrom(address(this), shares);
        pay(token0, to, amount0);
        pay(token1, to, amount1);
        update(
            Ledger(token0).balanceOf(address(this)),
            Ledger(token1).balanceOf(address(this)),
            r0,
            r1
        );
        emit Burn(msg.sender, amount0, amount1, to);
    }

    /// Pays out0 and out1 to to, which may use them in onSwap if there is data; the input must have come by then.
    function swap(uint256 out0, uint256 out1, address to, bytes calldata data) external lock {
        if (out0 == 0 && out1 == 0) revert NoOutput();
        (uint112 r0, uint112 r1, ) = getReserves();
        if (out0 >= r0 || out1 >= r1) revert NoLiquidity();
        if (to == token0 || to == token1) revert BadReceiver();
        if (out0 > 0) pay(token0, to, out0);
        if (out1 > 0) pay(token1, to, out1);
        if (data.length > 0) ISwapReceiver(to).onSwap(msg.sender, out0, out1, data);
        (uint256 in0, uint256 in1) = settle(out0, out1, r0, r1);
        emit Swap(msg.sender, in0, in1, out0, out1, to);
    }

    /// Books a trade that paid out0 and out1: less the fee, the product of reserves must not have fallen.
    function settle(uint256 out0, uint256 out1, uint112 r0, uint112 r1)
        private
        returns (uint256 in0, uint256 in1)
    {
        uint256 balance0 = Ledger(token0).balanceOf(address(this));
        uint256 balance1 = Ledger(token1).balanceOf(address(this));
        in0 = balance0 > r0 - out0 ? balance0 - (r0 - out0) : 0;
        in1 = balance1 > r1 - out1 ? balance1 - (r1 - out1) : 0;
        if (in0 == 0 && in1 == 0) revert NoInput();
        uint256 after0 = balance0 * 1000 - in0 * 3;
        uint256 after1 = balance1 * 1000 - in1 * 3;
        if (after0 * after1 < uint256(r0) * r1 * 1000000) revert BadProduct();
        update(balance0, balance1, r0, r1);
    }

    function update(uint256 balance0, uint256 balance1, uint112 r0, uint112 r1) private {
        if (balance0 > type(uint112).max || balance1 > type(uint112).max) revert TooMuch();
        unchecked {
            uint32 time = uint32(block.timestamp);
            uint32 elapsed = time - updatedAt; // wraps as it should
            if (elapsed > 0 && r0 != 0 && r1 != 0) {
                priceSum0 += ((uint256(r1) << 112) / r0) * elapsed;
                priceSum1 += ((uint256(r0) << 112) / r1) * elapsed;
            }
            reserve0 = uint112(balance0);
            reserve1 = uint112(balance1);
            updatedAt = time;
        }
        emit Sync(uint112(balance0), uint112(balance1));
    }

    /// Takes tokens that answer true as well as those that answer nothing.
    function pay(address token, address to, uint256 value) private {
        (bool ok, bytes memory answer) = token.call(abi.encodeCall(Ledger.transfer, (to, value)));
        if (!ok || (answer.length != 0 && !abi.decode(answer, (bool)))) revert TransferFailed(token);
    }

    /// The largest whole number whose square is at most x: Newton's method from above.
    function squareRoot(uint256 x) private pure returns (uint256 root) {
        if (x == 0) return 0;
        root = x;
        uint256 next = x / 2 + 1;
        while (next < root) {
            root = next;
            next = (x / next + next) / 2;
        }
    }
}
