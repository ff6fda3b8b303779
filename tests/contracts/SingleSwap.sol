// SPDX-License-Identifier: UNLICENSED
pragma solidity ^0.8.24;

interface IToken {
    function transferFrom(address from, address to, uint256 amount) external returns (bool);
    function approve(address spender, uint256 amount) external returns (bool);
}

/// The router of Uniswap V3, as far as it is used here.
interface ISwapRouter {
    struct ExactInputSingleParams {
        address tokenIn;
        address tokenOut;
        uint24 fee;
        address recipient;
        uint256 deadline;
        uint256 amountIn;
        uint256 amountOutMinimum;
        uint160 sqrtPriceLimitX96;
    }

    function exactInputSingle(ExactInputSingleParams calldata params)
        external
        payable
        returns (uint256 amountOut);
}

/// Sells one of two tokens for the other on behalf of who calls, who gave it an allowance: takes the tokens, and lets the router have them.
contract SingleSwap {
    ISwapRouter private immutable router;
    address public token0;
    address public token1;
    uint24 public fee;

    constructor(ISwapRouter router_, address token0_, address token1_, uint24 fee_) {
        router = router_;
        token0 = token0_;
        token1 = token1_;
        fee = fee_;
    }

    function sellToken0(uint256 amountIn) external returns (uint256 amountOut) {
        return sell(token0, token1, amountIn);
    }

    function sellToken1(uint256 amountIn) external returns (uint256 amountOut) {
        return sell(token1, token0, amountIn);
    }

    function sell(address tokenIn, address tokenOut, uint256 amountIn) private returns (uint256) {
        IToken(tokenIn).transferFrom(msg.sender, address(this), amountIn);
        IToken(tokenIn).approve(address(router), amountIn);
        return router.exactInputSingle(
            ISwapRouter.ExactInputSingleParams({
                tokenIn: tokenIn,
                tokenOut: tokenOut,
                fee: fee,
                recipient: msg.sender,
                deadline: block.timestamp,
                amountIn: amountIn,
                amountOutMinimum: 0,
                sqrtPriceLimitX96: 0
            })
        );
    }
}
