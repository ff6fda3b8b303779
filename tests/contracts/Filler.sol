// SPDX-License-Identifier: UNLICENSED
pragma solidity ^0.8.24;

interface IERC20 {
    function transfer(address to, uint256 amount) external returns (bool);
}

/// What a Uniswap V3 pool has to offer to who fills it.
interface IPool {
    function token0() external view returns (address);
    function token1() external view returns (address);
    function mint(address recipient, int24 lower, int24 upper, uint128 amount, bytes calldata data)
        external
        returns (uint256 amount0, uint256 amount1);
}

/// Fills pools of Uniswap V3 out of the tokens that it was given: a position manager for one, without receipts.
contract Filler {
    address private immutable owner = msg.sender;

    error NotOwner();

    modifier onlyOwner() {
        if (tx.origin != owner) revert NotOwner();
        _;
    }

    function fill(address pool, int24 lower, int24 upper, uint128 liquidity) external onlyOwner {
        IPool(pool).mint(address(this), lower, upper, liquidity, "");
    }

    /// A pool asks for what a position costs.
    function uniswapV3MintCallback(uint256 amount0, uint256 amount1, bytes calldata)
        external
        onlyOwner
    {
        IERC20(IPool(msg.sender).token0()).transfer(msg.sender, amount0);
        IERC20(IPool(msg.sender).token1()).transfer(msg.sender, amount1);
    }
}
